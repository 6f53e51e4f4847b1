"""Reading a log and mapping its rows to events, decisions and outcomes; sends nothing."""
