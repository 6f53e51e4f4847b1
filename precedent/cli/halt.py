"""`precedent halt`: stop deciding, at once and everywhere. `precedent resume` (resume.py) ends it."""

from __future__ import annotations

from precedent.cli.halting import command_of, halt_with

app = command_of(
    halt_with,
    """Halt everything: each decision escalates as HALTED and is recorded, until `precedent resume`.

    With --node, and --action, only what is enabled there: it is denied as NOT_ENABLED. The API is asked where one runs; where it does
    not answer, the database. Either way it holds for every process from that moment on.
    """,
)
