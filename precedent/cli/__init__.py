"""`precedent …`: one file per group of commands, imported when it is asked for."""
