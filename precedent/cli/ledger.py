"""`precedent ledger`: verify the record, make its projections anew, erase persons from it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from precedent.cli import erasure
from precedent.db.embedded import database_url
from precedent.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True)
erasure.add_to(app)


@app.callback()
def ledger() -> None:
    """Verify the record, make its projections anew, erase persons from it."""


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="how many work side by side; by default one a core")] = None,
) -> None:
    """Check every entry by its bytes and every projection by its entry; exit 1 when anything is wrong."""
    from precedent.ledger.verify import verify_database

    settings = load_settings()
    with _progress() as progress:
        task = progress.add_task("entries", total=None)
        report = verify_database(
            database_url(settings),
            chain=settings.chain,
            processes=processes,
            on_progress=lambda done, size: progress.update(task, completed=done, total=size),
        )
    typer.echo(json.dumps(report.as_dict(), indent=2) if as_json else str(report))
    raise typer.Exit(0 if report.is_intact else 1)


@app.command()
def rebuild() -> None:
    """Make the projections anew from the entries, in one transaction; nothing is sent again."""
    from precedent.ledger.rebuild import rebuild_projections

    settings = load_settings()
    with _progress() as progress:
        task = progress.add_task("entries", total=None)
        size = rebuild_projections(
            database_url(settings), settings.chain, on_progress=lambda done, size: progress.update(task, completed=done, total=size)
        )
    typer.echo(f"projections of chain {settings.chain} rebuilt from {size} entries")


def _progress() -> Progress:
    """On stderr, so that stdout is the answer alone; silent where nobody watches."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)
