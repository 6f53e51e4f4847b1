"""`precedent outbox`: deliver what waits, and show what waits or failed for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer

from precedent.adapters.contract import Context
from precedent.adapters.slack import PostMessage, SlackAdapter, slack_of
from precedent.clock import SystemClock
from precedent.db.embedded import database_url
from precedent.db.engine import API, connect
from precedent.ledger.store import chain_id_of
from precedent.people import store
from precedent.people.notify import Message, channel_of, drain
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Messages that decisions left for people.")


@app.command("drain")
def drain_command(limit: Annotated[int, typer.Option(min=1, help="deliver no more than this")] = 100) -> None:
    """Deliver what is due, by Slack. Without a Slack token nothing is delivered and everything waits."""
    settings = load_settings()
    with _opened(settings) as (connection, chain_id):
        waiting = store.count_messages(connection, chain_id).waiting
    if settings.slack_bot_token is None:
        typer.echo(f"Slack is off (PRECEDENT_SLACK_BOT_TOKEN is empty): nothing was delivered; waiting: {waiting}")
        return
    clock = SystemClock()
    connector = partial(connect, database_url(settings), API, autocommit=True)
    with closing(slack_of(settings, clock)) as slack:
        done = drain(connector, chain_id, partial(_post, slack), clock, limit=limit)
    typer.echo(f"delivered: {done.delivered}, failed and due again: {done.failed}, failed for the last time: {done.dead}")
    raise typer.Exit(1 if done.failed or done.dead else 0)


@app.command("show")
def show_command(
    dead: Annotated[bool, typer.Option("--dead", help="only what failed for the last time")] = False,
    limit: Annotated[int, typer.Option(min=1, help="rows at most")] = 50,
) -> None:
    """Show what waits and what is dead, oldest first, with the last error."""
    with _opened(load_settings()) as (connection, chain_id):
        counts = store.count_messages(connection, chain_id)
        rows = store.read_undelivered(connection, chain_id, is_dead=True if dead else None, limit=limit)
    typer.echo(f"waiting: {counts.waiting}, dead: {counts.dead}, delivered: {counts.delivered}")
    for row in rows:
        typer.echo(_line(row))


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[psycopg.Connection[Any], UUID]]:
    with connect(database_url(settings), API, autocommit=True) as connection:
        yield connection, chain_id_of(connection, settings.chain)


def _post(slack: SlackAdapter, message: Message) -> None:
    slack.invoke(PostMessage(channel_of(message.recipient), message.text, message.idempotency_key), Context(message.decision_id))


def _line(row: store.Undelivered) -> str:
    when = "dead" if row.dead_at else f"next {row.next_attempt_at:%Y-%m-%d %H:%M:%S}"
    told = f"{row.id:>6}  {row.created_at:%Y-%m-%d %H:%M:%S}  {row.topic:<16} {row.recipient or '-':<16} attempts {row.attempts:>2}  {when}"
    return f"{told}  {row.last_error}" if row.last_error else told
