"""The blast radius, shown before a version is put to work."""

from __future__ import annotations

import sys

import typer

from precedent.errors import PrecedentError
from precedent.learning.blast import blast_radius
from precedent.settings import Settings


def show_blast_radius(url: str, settings: Settings, ref: str, last: int, is_sure: bool) -> None:
    """Say what activating `ref` would have changed; where a person watches and something flips, ask whether to go on.

    One that can't be measured stops nobody: a version may have to be activated while something else is broken.

    Raises: typer.Abort where the person says no.
    """
    if last == 0:
        return
    try:
        radius = blast_radius(url, settings, ref, last)
    except PrecedentError as error:
        typer.echo(f"blast radius: couldn't be measured: {error}")
        is_clear = False
    else:
        typer.echo(f"{radius}\n")
        is_clear = not radius.flips and not radius.report.tally.undecidable
    if not is_clear and not is_sure and is_watched():
        typer.confirm(f"activate {ref}?", abort=True)


def is_watched() -> bool:
    """Whether somebody could answer: a script is never left waiting."""
    return sys.stdin.isatty()
