"""Identity testing: circuits compared at real sizes, exactly, modulo primes."""
