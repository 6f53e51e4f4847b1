"""`precedent resume`: decide again what `precedent halt` stopped, and nothing else."""

from __future__ import annotations

from precedent.cli.halting import command_of, resume_with

app = command_of(
    resume_with,
    """Let everything be decided again that its flag allows; with --node, and --action, what `precedent halt` stopped there.

    What was switched off by `precedent flag` stays off: that was no halt.
    """,
)
