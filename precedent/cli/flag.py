"""`precedent flag …`: which actions are enabled, and the level up to which each may act alone."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.cli.advice import not_declared
from precedent.db.embedded import database_url
from precedent.db.engine import API, connect
from precedent.guard.flags import MAX_LEVEL, set_flag
from precedent.guard.store import FLAGS
from precedent.ledger.store import chain_id_of
from precedent.settings import load_settings

PRINCIPAL = "command line"

app = typer.Typer(help="Flags: set, list.", no_args_is_help=True)


@app.command("set")
def set_one(
    node: str,
    action: str,
    enabled: Annotated[bool, typer.Option("--on/--off", help="whether it may be decided at all")],
    reason: Annotated[str, typer.Option(help="why; it is recorded")],
    max_level: Annotated[int, typer.Option(min=0, max=MAX_LEVEL, help="the highest level at which it may act alone")] = MAX_LEVEL,
) -> None:
    """Set an action's flag, at once for every process."""
    settings = load_settings()
    url = database_url(settings)
    set_flag(url, settings, node, action, enabled, max_level, reason, PRINCIPAL)
    typer.echo(f"{node}/{action} is {f'enabled up to AL{max_level}' if enabled else 'not enabled'}")
    for line in not_declared(url, settings, node, action):
        typer.echo(line)


@app.command("list")
def list_flags() -> None:
    """All flags; an action without one is not enabled."""
    settings = load_settings()
    with connect(database_url(settings), API) as connection:
        rows = connection.execute(FLAGS, (chain_id_of(connection, settings.chain),)).fetchall()
    table = Table(Column("node", no_wrap=True), Column("action", no_wrap=True), "enabled", "up to", "reason", "since", "by")
    for node, action, enabled, max_level, reason, updated_at, updated_by in rows:
        table.add_row(node, action, "yes" if enabled else "no", f"AL{max_level}", reason, f"{updated_at:%Y-%m-%d %H:%M}", updated_by)
    Console().print(table)
