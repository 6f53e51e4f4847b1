"""`precedent ledger erase|hold|lift|retain|holds|rotate-epoch`: personal data, what keeps it, and the keys it is sealed under."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import psycopg
import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.clock import SystemClock, from_instant, to_instant
from precedent.db.embedded import database_url
from precedent.db.engine import ERASER, connect
from precedent.errors import FieldInvalid, SubjectNotFound
from precedent.ledger import bars, erase_store
from precedent.ledger.erase import erase_subject, plan_erasure
from precedent.ledger.erasure_memory import FolderErasures, Wanted
from precedent.ledger.keyring import open_keyring
from precedent.ledger.rotate_epoch import rotate_epoch as rotate
from precedent.ledger.store import chain_id_of
from precedent.settings import Settings, load_settings

PRINCIPAL = "command line"

SUBJECT_HELP = (
    "whom, as TYPE:PSEUDONYM: customer:C-17 of decisions, subject:C-17 of events, entry:ID for one entry that names nobody; "
    "or a subject's random id; - reads lines from standard input, which no shell remembers"
)
Reason = Annotated[str, typer.Option(help="why, for ever on record: name nobody in it")]
Sure = Annotated[bool, typer.Option("--yes", help="don't ask whether to go on")]


def erase(
    subject: Annotated[list[str], typer.Option(help=f"{SUBJECT_HELP}; may be repeated")],
    reason: Reason,
    yes: Sure = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be destroyed, and what bars it")] = False,
) -> None:
    """Destroy what the record holds of a person: for good, unless a legal hold or a rule of retention bars it."""
    settings, clock = load_settings(), SystemClock()
    url = database_url(settings)
    with _opened(settings) as (connection, chain_id):
        ids = [_find(connection, chain_id, settings, name) for name in _names(subject)]
        plans = [plan_erasure(connection, chain_id, subject_id) for subject_id in dict.fromkeys(ids)]
    for plan in plans:
        typer.echo(f"{plan.subject_id}: {len(plan.seqs)} personal sections, its key and its mapping")
    for plan in plans:
        plan.require_unbarred()
    if dry_run:
        return
    if not yes:
        typer.confirm("destroy them for good?", abort=True)
    memory = FolderErasures(settings.anchor_path)
    for plan in plans:
        wanted = Wanted(chain_id, plan.subject_id, reason, PRINCIPAL, to_instant(clock.now_us()))
        done = erase_subject(url, chain_id, wanted, memory, clock)
        typer.echo(f"erased by entry {done.place.seq}: {done.section_count} personal sections of {done.subject_id}")
    typer.echo(
        "backups made before go dark when the epoch of their keys ends: `precedent ledger rotate-epoch`, each month or now by --again"
    )


def hold(
    reason: Reason,
    subject: Annotated[str | None, typer.Option(help=SUBJECT_HELP)] = None,
    node: Annotated[str | None, typer.Option(help="everybody whom this node decided about")] = None,
    until: Annotated[str | None, typer.Option(help="2031-05-06T00:00:00Z; until it is lifted, unless said")] = None,
) -> None:
    """Place a legal hold: nothing of the person, or of whom a node decided about, is erased."""
    settings = load_settings()
    if (subject is None) == (node is None):
        raise FieldInvalid("a hold is on a --subject or on a --node")
    with _opened(settings) as (connection, chain_id):
        names = _names([subject]) if subject is not None else []
        if len(names) > 1:
            raise FieldInvalid("a hold is on one subject")
        on = node or _find(connection, chain_id, settings, names[0])
    until_us = _instant(until)
    placed = bars.place_hold(database_url(settings), chain_id, SystemClock(), on=on, until_us=until_us, reason=reason, principal=PRINCIPAL)
    typer.echo(f"hold {placed.entry_id} stands, by entry {placed.seq}")


def lift(hold_id: UUID, reason: Reason) -> None:
    """Lift a legal hold."""
    settings = load_settings()
    chain_id = _chain_of(settings)
    done = bars.lift_hold(database_url(settings), chain_id, SystemClock(), hold_id=hold_id, reason=reason, principal=PRINCIPAL)
    typer.echo(f"hold {hold_id} is lifted, by entry {done.seq}")


def retain(
    node: Annotated[str, typer.Argument(help="a node; of events: events")],
    action: Annotated[str, typer.Argument(help="an action, or the type of an event; * is any that has no rule of its own")],
    days: Annotated[int, typer.Argument(min=0, max=bars.MAX_DAYS, help="from when it happened; 0 keeps nothing")],
    reason: Reason,
) -> None:
    """Keep what concerns a person for so many days: an erasure before is refused, with that day."""
    settings = load_settings()
    done = bars.keep_for(
        database_url(settings), _chain_of(settings), SystemClock(), node=node, action=action, days=days, reason=reason, principal=PRINCIPAL
    )
    typer.echo(f"{node}/{action} is kept for {days} days, by entry {done.seq}")


def holds() -> None:
    """Legal holds that stand, and rules of retention."""
    with _opened(load_settings()) as (connection, chain_id):
        standing, rules = erase_store.standing_holds(connection, chain_id), erase_store.retention_rules(connection, chain_id)
    table = Table(Column("what", no_wrap=True), Column("on", no_wrap=True), "until", "reason", "since", "by")
    for hold_id, subject_id, node, until, reason, placed_at, placed_by in standing:
        end = f"{until:%Y-%m-%d %H:%M}" if until else "it is lifted"
        table.add_row(f"hold {hold_id}", str(subject_id or node), end, reason, f"{placed_at:%Y-%m-%d %H:%M}", placed_by)
    for node, action, days, reason, updated_at, updated_by in rules:
        table.add_row("retention", f"{node}/{action}", f"{days} days after", reason, f"{updated_at:%Y-%m-%d %H:%M}", updated_by)
    Console().print(table)


def rotate_epoch(
    again: Annotated[bool, typer.Option("--again", help="also where this month has an epoch: backups of before go dark at once")] = False,
) -> None:
    """Wrap all subjects' keys under this month's key and destroy the one before: backups from before go dark. Run it each month."""
    settings = load_settings()
    done = rotate(database_url(settings), open_keyring(settings).epochs, PRINCIPAL, SystemClock(), again=again)
    ended = f"; destroyed: {', '.join(done.destroyed)}" if done.destroyed else "; no older key was there"
    typer.echo(f"subjects' keys are under {done.epoch}: {done.rewrapped} wrapped anew{ended}")


def add_to(app: typer.Typer) -> None:
    """Make these commands of `precedent ledger`."""
    for command in (erase, hold, lift, retain, holds, rotate_epoch):
        app.command(command.__name__.replace("_", "-"))(command)


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[psycopg.Connection, UUID]]:
    with connect(database_url(settings), ERASER, autocommit=True) as connection:
        yield connection, chain_id_of(connection, settings.chain)


def _chain_of(settings: Settings) -> UUID:
    with _opened(settings) as (_, chain_id):
        return chain_id


def _names(given: list[str]) -> list[str]:
    """What was named, lines of standard input in the place of a -, each once."""
    named = [line.strip() for one in given for line in (sys.stdin.read().splitlines() if one == "-" else [one])]
    found = list(dict.fromkeys(one for one in named if one))
    if not found:
        raise FieldInvalid("no subject was named")
    return found


def _find(connection: psycopg.Connection, chain_id: UUID, settings: Settings, name: str) -> UUID:
    """Raises: FieldInvalid, SubjectNotFound; what they say is a log's, and so does not say the pseudonym."""
    entity_type, colon, pseudonym = name.partition(":")
    if not colon:
        try:
            return UUID(name)
        except ValueError:
            raise FieldInvalid("a subject is named as TYPE:PSEUDONYM (customer:C-17), or by its random id") from None
    found = erase_store.find_subject(connection, chain_id, open_keyring(settings).lookup_hash(entity_type, pseudonym))
    if found is None:
        raise SubjectNotFound(f"no {entity_type} is known by that pseudonym: it never was, or it was erased")
    return found


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else from_instant(text)
    except ValueError as error:
        raise FieldInvalid(f"couldn't read the instant: {error}") from error
