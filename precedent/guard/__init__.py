"""Who may do what, what is switched on, and what must never leave: the checks around a decision."""
