"""Child processes: started so that they can't outlive their parent, and ended by process id and start time, never by name."""
