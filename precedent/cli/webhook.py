"""`precedent webhook`: where signed messages about decisions go. A secret is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.clock import SystemClock
from precedent.db.embedded import database_url
from precedent.db.engine import connect
from precedent.ledger.keyring import open_keyring
from precedent.ledger.store import chain_id_of
from precedent.people import webhook_store as endpoints
from precedent.people.notify import now_of
from precedent.people.webhooks import TOPICS, Webhooks, add_endpoint, require_endpoint, secrets_of, webhook_rules, written
from precedent.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Signed messages to servers of yours, as in Standard Webhooks.")

NameArgument = Annotated[str, typer.Argument(help="its name")]


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: psycopg.Connection[Any]
    chain_id: UUID
    webhooks: Webhooks


@app.command()
def add(
    name: NameArgument,
    url: Annotated[str, typer.Argument(help="https://…")],
    types: Annotated[list[str], typer.Option("--type", help=f"may be repeated: {', '.join(TOPICS)}")],
) -> None:
    """Send messages of these types there from now on, and print the secret: keep it, for it is not shown again."""
    with _opened() as opened:
        endpoint = add_endpoint(opened.connection, opened.chain_id, name, url, types, opened.webhooks.rules, opened.webhooks.clock)
        (secret,) = secrets_of(opened.webhooks.keyring, endpoint, opened.webhooks.clock)
    typer.echo(written(secret))


@app.command("list")
def list_endpoints() -> None:
    """All endpoints, without their secrets."""
    with _opened() as opened:
        rows = endpoints.read_endpoints(opened.connection, opened.chain_id)
    table = Table(Column("name", no_wrap=True), "url", "types", "status", "paused until")
    for row in rows:
        status = row.status + (f": {row.status_reason}" if row.status_reason else "")
        paused = f"{row.paused_until:%Y-%m-%d %H:%M:%S}" if row.paused_until else ""
        table.add_row(row.name, row.url, " ".join(row.topics), status, paused)
    Console().print(table)


@app.command()
def disable(name: NameArgument, reason: Annotated[str, typer.Option(help="why")]) -> None:
    """Send nothing there any more. What waits for it is given up: `precedent outbox dead` shows it."""
    with _opened() as opened:
        endpoint = require_endpoint(opened.connection, opened.chain_id, name)
        count = endpoints.disable(opened.connection, opened.chain_id, endpoint.id, reason, now_of(opened.webhooks.clock))
    typer.echo(f"{name} is disabled; messages given up: {count}")


@app.command()
def enable(name: NameArgument) -> None:
    """Send there again, from now on; what was given up meanwhile, by `precedent outbox replay`."""
    with _opened() as opened:
        endpoint = require_endpoint(opened.connection, opened.chain_id, name)
        opened.connection.execute(endpoints.ENABLE, (opened.chain_id, endpoint.id))
    typer.echo(f"{name} is enabled")


@app.command()
def rotate(
    name: NameArgument,
    overlap_hours: Annotated[float, typer.Option(min=0, help="how long the secret before signs as well")] = 24,
) -> None:
    """Make a new secret and print it: keep it, for it is not shown again. Until the overlap ends, both sign."""
    with _opened() as opened:
        clock = opened.webhooks.clock
        endpoint = require_endpoint(opened.connection, opened.chain_id, name)
        until = now_of(clock) + timedelta(hours=overlap_hours)
        opened.connection.execute(endpoints.ROTATE, (until, opened.chain_id, endpoint.id))
        secret = secrets_of(opened.webhooks.keyring, require_endpoint(opened.connection, opened.chain_id, name), clock)[0]
    typer.echo(written(secret))


@app.command()
def test(name: NameArgument) -> None:
    """Send one signed message that says nothing, now, and tell how it was answered."""
    with _opened() as opened:
        clock = opened.webhooks.clock
        endpoint = require_endpoint(opened.connection, opened.chain_id, name)
        began_ns = clock.monotonic_ns()
        status = opened.webhooks.test(endpoint)
    typer.echo(f"{endpoint.url} answered {status} in {(clock.monotonic_ns() - began_ns) / 1e6:.0f} ms")


@contextmanager
def _opened() -> Iterator[_Opened]:
    settings, clock = load_settings(), SystemClock()
    connector = partial(connect, database_url(settings), autocommit=True)
    with connector() as connection:
        chain_id = chain_id_of(connection, settings.chain)
        yield _Opened(connection, chain_id, Webhooks(connector, chain_id, open_keyring(settings), webhook_rules(settings), clock))
