"""What can be known of a circuit without running it, a module for each kind of knowledge."""
