"""Files that the compiler writes: whole or not at all, and the table of synapses."""
