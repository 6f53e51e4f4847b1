"""Where what is derived comes from: a digest of each partition's rows in the ledger, and the way back from it."""
