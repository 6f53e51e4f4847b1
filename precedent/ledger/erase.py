"""Erasure: a person's data is destroyed on request, the ledger still verifies, and says that this was lawful.

One transaction: an entry that lists every personal section it destroys, then those rows, the subject's key and its mapping. What
bars it (legal holds, rules of retention) are entries too, and are asked inside that transaction. What is to be erased is written
down outside the database first, so that a database that is restored from before learns of it (`erasure_memory.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from precedent.clock import Clock, to_instant
from precedent.db.engine import API, ERASER, connect
from precedent.errors import DatabaseUnavailable, ErasureBarred, FieldInvalid, HeadMoved, SubjectNotFound
from precedent.ledger import erase_store
from precedent.ledger.entry import MAX_TRIES, Appended, Kind, Section, draft_entry
from precedent.ledger.erasure_memory import ErasureMemory, Wanted

# The deletion of all that one person ever left may take its time; appends of the chain wait for it.
STATEMENT_TIMEOUT = "600s"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an erasure would destroy, and what bars it: (rule, until), None being until somebody lifts it."""

    subject_id: UUID
    seqs: tuple[int, ...]
    bars: tuple[tuple[str, datetime | None], ...]

    def require_unbarred(self) -> None:
        """Raises: ErasureBarred, naming every rule and its date."""
        if self.bars:
            rules = "; ".join(f"{rule} until {'it is lifted' if until is None else _instant(until)}" for rule, until in self.bars)
            raise ErasureBarred(f"couldn't erase subject {self.subject_id}: {rules}")


@dataclass(frozen=True, slots=True)
class Erased:
    """Where the erasure stands, and how many personal sections it destroyed."""

    place: Appended
    subject_id: UUID
    section_count: int


def plan_erasure(connection: psycopg.Connection, chain_id: UUID, subject_id: UUID) -> Plan:
    """What is there to be erased now.

    Raises: SubjectNotFound, also for a subject that was erased: then it says by which entry.
    """
    if not erase_store.living_subjects(connection, chain_id, [subject_id]):
        erased = connection.execute(erase_store.ERASED, (chain_id, subject_id)).fetchone()
        words = f"it was erased by entry {erased[1]} on {_instant(erased[2])}" if erased else "there is no such subject"
        raise SubjectNotFound(f"couldn't erase subject {subject_id}: {words}")
    seqs = erase_store.personal_seqs(connection, chain_id, subject_id)
    return Plan(subject_id, tuple(seqs), tuple(erase_store.bars(connection, chain_id, subject_id)))


def erase_subject(url: str, chain_id: UUID, wanted: Wanted, memory: ErasureMemory, clock: Clock) -> Erased:
    """Destroy what the record holds of a person.

    If we crash before the memory has it, nothing happened. If we crash after it and before the commit, the next start of an API, or
    the same call again, erases: it was asked for, and nothing barred it. After the commit nothing is left to be done.

    Raises: FieldInvalid without a reason, SubjectNotFound, ErasureBarred, with nothing changed; DatabaseUnavailable; OSError where
    it can't be written down.
    """
    if not wanted.reason.strip():
        raise FieldInvalid("an erasure needs a reason")
    with _connect(url) as connection:
        plan_erasure(connection, chain_id, wanted.subject_id).require_unbarred()
        memory.remember(wanted)
        try:
            return apply_erasure(connection, chain_id, wanted, clock)
        except ErasureBarred:
            memory.forget(wanted)  # barred meanwhile: nobody may finish what is not allowed
            raise


def apply_missed(url: str, chain_id: UUID, memory: ErasureMemory, clock: Clock) -> list[Erased]:
    """Erase whoever is known outside the database to have been erased, and stands in it: it was restored from before.

    Raises: ErasureBarred where the restored database bars it; DatabaseUnavailable; LedgerBroken, OSError where it is not known who.
    """
    wanted = {one.subject_id: one for one in memory.read(chain_id)}
    if not wanted:
        return []
    # Who serves looks; only where somebody is found, as who may erase.
    with connect(url, API, autocommit=True) as connection:
        living = erase_store.living_subjects(connection, chain_id, list(wanted))
    if not living:
        return []
    with _connect(url) as connection:
        return [apply_erasure(connection, chain_id, wanted[subject_id], clock) for subject_id in living]


def apply_erasure(connection: psycopg.Connection, chain_id: UUID, wanted: Wanted, clock: Clock) -> Erased:
    """Entry and rows, in a transaction of their own; started over where entries about the subject were added meanwhile.

    Raises: SubjectNotFound, ErasureBarred, HeadMoved, with nothing changed; DatabaseUnavailable.
    """
    for _ in range(MAX_TRIES):
        seqs = plan_erasure(connection, chain_id, wanted.subject_id).seqs
        core: dict[str, Any] = {
            "op": "erase",
            "subject_id": str(wanted.subject_id),
            "erased": [[seq, int(Section.PERSONAL)] for seq in seqs],
            "reason": wanted.reason,
            "principal": wanted.principal,
        }
        try:
            with connection.transaction():
                place = erase_store.erase(connection, chain_id, draft_entry(clock, Kind.ERASURE, {Section.CORE: core}))
            return Erased(place, wanted.subject_id, len(seqs))
        except psycopg.Error as error:
            if error.sqlstate == erase_store.BARRED:
                raise ErasureBarred(f"couldn't erase: {error.diag.message_primary}") from error
            if error.sqlstate == erase_store.SUBJECT_MOVED:
                raise SubjectNotFound(f"couldn't erase: {error.diag.message_primary}") from error
            if isinstance(error, psycopg.OperationalError):
                raise DatabaseUnavailable(f"couldn't erase; if it was during the commit, it may stand: {error}") from error
            if error.sqlstate != erase_store.LIST_MOVED:
                raise
    raise HeadMoved(f"entries about the subject were added {MAX_TRIES} times while it was erased")


def _connect(url: str) -> psycopg.Connection:
    connection = connect(url, ERASER, autocommit=True)
    connection.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT}'".encode())
    return connection


def _instant(at: datetime) -> str:
    return to_instant(int(at.timestamp() * 1_000_000))
