"""Who may do what, what is switched on, what was asked before, and what must never leave: the checks around a decision."""
