"""The HTTP shell: a request in, one call of the core, an answer out. It decides nothing."""
