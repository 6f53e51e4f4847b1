"""`precedent outbox`: deliver what waits, and show what waits or failed for good."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer

from precedent.clock import SystemClock
from precedent.db.embedded import database_url
from precedent.db.engine import API, connect
from precedent.ledger.keyring import open_keyring
from precedent.ledger.store import chain_id_of
from precedent.people import store
from precedent.people.channels import open_loops, open_slack
from precedent.people.notify import drain, now_of
from precedent.production import require_production_files
from precedent.settings import Settings, load_settings
from precedent.tracing import provider_of, telling

ENDINGS = (signal.SIGTERM, signal.SIGINT)

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Messages that decisions left for people.")


@app.command("drain")
def drain_command(limit: Annotated[int, typer.Option(min=1, help="deliver no more than this")] = 100) -> None:
    """Deliver to people what is due, once, by Slack. Without a Slack token nothing is delivered and everything waits."""
    settings, clock = load_settings(), SystemClock()
    with _opened(settings) as (connection, chain_id):
        waiting = store.count_messages(connection, chain_id).waiting
    with telling(provider_of(settings.otlp_endpoint)), open_slack(settings, clock) as deliver:
        if deliver is None:
            typer.echo(f"Slack is off (PRECEDENT_SLACK_BOT_TOKEN is empty): nothing was delivered; waiting: {waiting}")
            return
        connector = partial(connect, database_url(settings), API, autocommit=True)
        done = drain(connector, chain_id, deliver, clock, limit=limit)
    typer.echo(f"delivered: {done.delivered}, failed and due again: {done.failed}, failed for the last time: {done.dead}")
    raise typer.Exit(1 if done.failed or done.dead else 0)


@app.command("run")
def run_command() -> None:
    """Deliver what comes due, until SIGTERM; `PRECEDENT_OUTBOX=process` leaves it to this command. Several may run."""
    settings, clock = load_settings(), SystemClock()
    require_production_files(settings)
    with _opened(settings) as (_, chain_id):
        pass
    # Blocked before any thread begins, so that all inherit it and the signal waits for `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    with (
        telling(provider_of(settings.otlp_endpoint)),
        open_loops(settings, database_url(settings), chain_id, clock, open_keyring(settings)) as loops,
    ):
        for loop in loops:
            loop.start()
        typer.echo("delivering")
        signal.sigwait(ENDINGS)
        for loop in loops:
            loop.end()
        for loop in loops:
            loop.stop()


@app.command("show")
def show_command(limit: Annotated[int, typer.Option(min=1, help="rows at most")] = 50) -> None:
    """Show what waits, oldest first, with the last error."""
    _show(is_dead=False, limit=limit)


@app.command("dead")
def dead_command(limit: Annotated[int, typer.Option(min=1, help="rows at most")] = 50) -> None:
    """Show what failed for the last time, oldest first, with that error."""
    _show(is_dead=True, limit=limit)


@app.command("replay")
def replay_command(
    ids: Annotated[list[int] | None, typer.Argument(help="numbers that `dead` shows")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="everything that is dead")] = False,
) -> None:
    """Make dead messages due again, as if they were new; they keep their idempotency keys."""
    if bool(ids) == is_all:
        raise typer.BadParameter("name messages, or give --all")
    with _opened(load_settings()) as (connection, chain_id):
        replayed = store.replay_dead(connection, chain_id, now_of(SystemClock()), None if is_all else ids)
    typer.echo(f"due again: {len(replayed)}")
    missing = sorted(set(ids or []) - set(replayed))
    if missing:
        typer.echo(f"not dead: {', '.join(map(str, missing))}", err=True)
        raise typer.Exit(1)


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[psycopg.Connection[Any], UUID]]:
    with connect(database_url(settings), API, autocommit=True) as connection:
        yield connection, chain_id_of(connection, settings.chain)


def _show(*, is_dead: bool, limit: int) -> None:
    with _opened(load_settings()) as (connection, chain_id):
        counts = store.count_messages(connection, chain_id)
        rows = store.read_undelivered(connection, chain_id, is_dead=is_dead, limit=limit)
    typer.echo(f"waiting: {counts.waiting}, dead: {counts.dead}, delivered: {counts.delivered}")
    for row in rows:
        typer.echo(_line(row))


def _line(row: store.Undelivered) -> str:
    when = "dead" if row.dead_at else f"next {row.next_attempt_at:%Y-%m-%d %H:%M:%S}"
    told = f"{row.id:>6}  {row.created_at:%Y-%m-%d %H:%M:%S}  {row.topic:<16} {row.recipient or '-':<16} attempts {row.attempts:>2}  {when}"
    return f"{told}  {row.last_error}" if row.last_error else told
