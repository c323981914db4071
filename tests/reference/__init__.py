"""Short pure-Python models: what the compiled structures are held to."""
