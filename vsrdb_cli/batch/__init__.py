"""Several inputs: which they are, and what became of each."""
