"""SQL of erasure: what a subject has in the record, what bars its erasure, and the calls of `erase.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from precedent.ledger.entry import Appended, Draft

NO_SUCH_HOLD = "PL006"
SUBJECT_MOVED = "PL008"
LIST_MOVED = "PL009"
BARRED = "PL010"

ERASED = "select entry_id, seq, erased_at from precedent.erasures where chain_id = %s and subject_id = %s order by seq limit 1"

_HOLDS = """
select id, subject_id, node, until, reason, placed_at, placed_by from precedent.legal_holds
where chain_id = %s and lifted_at is null and (until is null or until > clock_timestamp()) order by seq
"""
_RULES = "select node, action, days, reason, updated_at, updated_by from precedent.retention_rules where chain_id = %s order by 1, 2"


def find_subject(connection: psycopg.Connection, chain_id: UUID, lookup_hash: bytes) -> UUID | None:
    """The random id behind a pseudonym."""
    query = "select subject_id from precedent.subjects where chain_id = %s and lookup_hash = %s"
    row = connection.execute(query, (chain_id, lookup_hash)).fetchone()
    return row[0] if row else None


def living_subjects(connection: psycopg.Connection, chain_id: UUID, subject_ids: Sequence[UUID]) -> list[UUID]:
    """Which of these still have a key."""
    query = "select subject_id from ledger.subject_key where chain_id = %s and subject_id = any (%s::uuid[]) order by 1"
    return [subject_id for (subject_id,) in connection.execute(query, (chain_id, list(subject_ids)))]


def personal_seqs(connection: psycopg.Connection, chain_id: UUID, subject_id: UUID) -> list[int]:
    """Entries that hold personal sections of a subject, ascending."""
    return [seq for (seq,) in connection.execute("select ledger.personal_seqs(%s, %s)", (chain_id, subject_id))]


def bars(connection: psycopg.Connection, chain_id: UUID, subject_id: UUID) -> list[tuple[str, datetime | None]]:
    """(rule, until) of what forbids an erasure now; None is until somebody lifts it."""
    return connection.execute("select rule, until from ledger.erasure_bars(%s, %s)", (chain_id, subject_id)).fetchall()


def erase(connection: psycopg.Connection, chain_id: UUID, draft: Draft) -> Appended:
    """Append the erasure and destroy what it lists. Raises: psycopg.Error with one of the codes above."""
    return _call(connection, b"select seq, envelope, leaf from ledger.erase(%s, %s, %s, %s)", chain_id, draft)


def bar(connection: psycopg.Connection, chain_id: UUID, draft: Draft) -> Appended:
    """Append a hold, its lifting or a rule. Raises: psycopg.Error, as above."""
    return _call(connection, b"select seq, envelope, leaf from ledger.bar_erasure(%s, %s, %s, %s)", chain_id, draft)


def _call(connection: psycopg.Connection, query: bytes, chain_id: UUID, draft: Draft) -> Appended:
    (core,) = draft.sections
    row: Any = connection.execute(query, (chain_id, draft.entry_id, core.salt, core.stored)).fetchone()
    return Appended(draft.entry_id, *row)


def standing_holds(connection: psycopg.Connection, chain_id: UUID) -> list[tuple[Any, ...]]:
    return connection.execute(_HOLDS, (chain_id,)).fetchall()


def retention_rules(connection: psycopg.Connection, chain_id: UUID) -> list[tuple[Any, ...]]:
    return connection.execute(_RULES, (chain_id,)).fetchall()
