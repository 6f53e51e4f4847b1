"""`precedent token …`: who may call the API. A token is shown once; only its hash is kept."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.db.embedded import database_url
from precedent.db.engine import connect
from precedent.guard.access import CACHE_SECONDS, EVERY_NODE, SCOPES, create_token, revoke_token, rotate_token
from precedent.guard.store import LIST_ACCESS
from precedent.settings import load_settings

app = typer.Typer(help="Tokens: create, rotate, revoke, list.", no_args_is_help=True)

RATE = "requests a second that it may make on one API process, in place of PRECEDENT_RATE_PER_SECOND"


@app.command()
def create(
    name: str,
    scope: Annotated[list[str], typer.Option(help=f"may be repeated: {', '.join(sorted(SCOPES))}")],
    node: Annotated[list[str] | None, typer.Option(help="may be repeated; all nodes unless named")] = None,
    expires_in_days: Annotated[float | None, typer.Option(min=0, help="never, unless said")] = None,
    rate: Annotated[float | None, typer.Option(help=RATE)] = None,
) -> None:
    """Make a token and print it: keep it, for it is not shown again."""
    typer.echo(create_token(database_url(load_settings()), name, scope, node or [EVERY_NODE], expires_in_days, rate))


@app.command()
def rotate(
    name: str,
    overlap_hours: Annotated[float, typer.Option(min=0, help="how long the token before it works on")] = 24,
    expires_in_days: Annotated[float | None, typer.Option(min=0, help="never, unless said")] = None,
    rate: Annotated[float | None, typer.Option(help=f"{RATE}; kept, unless said")] = None,
) -> None:
    """Make the token that follows one: same name, scopes and nodes. Print it: keep it, for it is not shown again."""
    typer.echo(rotate_token(database_url(load_settings()), name, overlap_hours, expires_in_days, rate))


@app.command()
def revoke(name: str) -> None:
    """Revoke every token of a name."""
    count = revoke_token(database_url(load_settings()), name)
    typer.echo(f"{count} revoked; each process forgets within {CACHE_SECONDS:g} s")
    if not count:
        raise typer.Exit(1)


@app.command("list")
def list_tokens() -> None:
    """All tokens, without their secrets."""
    with connect(database_url(load_settings())) as connection:
        rows = connection.execute(LIST_ACCESS).fetchall()
    table = Table(Column("name", no_wrap=True), "scopes", "nodes", "rate", "made", "expires", "revoked")
    for name, scopes, nodes, rate, created_at, expires_at, revoked_at in rows:
        days = [f"{at:%Y-%m-%d}" if at else "" for at in (created_at, expires_at, revoked_at)]
        table.add_row(name, " ".join(sorted(scopes)), " ".join(nodes), f"{rate:g}" if rate else "", *days)
    Console().print(table)
