"""The pipeline's shell: what Dagster knows of the ledger and of what is derived from it. Thin: an asset calls and reports."""
