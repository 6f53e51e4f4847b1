"""The database: its tables, its migrations, its roles, and how a process connects to it."""
