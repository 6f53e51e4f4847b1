"""The append of one policy step: looked at and recorded under one epoch, so that what was checked still holds when it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

import psycopg

from precedent.clock import SystemClock
from precedent.db.engine import API, transaction
from precedent.errors import Conflict, HeadMoved, LedgerBroken
from precedent.ledger.entry import MAX_TRIES, Appended, Claimed, Draft, Kind, Section, Stale, draft_entry
from precedent.ledger.idempotency import Claim, claimed_by
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append
from precedent.policy import store
from precedent.settings import Settings

# Of a connection and a chain: the entry to append, or None where nothing is to be done.
NextDraft: TypeAlias = Callable[[psycopg.Connection, UUID], Draft | None]
Recorded: TypeAlias = Appended | Claimed | None


def step_draft(core: dict[str, object], facts: dict[str, object] | None = None) -> Draft:
    """A policy entry; `core` says by `op` which step it is."""
    sections: dict[Section, object] = {Section.CORE: core}
    if facts is not None:
        sections[Section.FACTS] = facts
    return draft_entry(SystemClock(), Kind.POLICY, sections)


def record_step(url: str, settings: Settings, next_draft: NextDraft, claim: Claim | None) -> Recorded:
    """Append what `next_draft` finds to do, unless `claim` was recorded before; None where that is nothing.

    The epoch is read before all else: where it still holds at the append, nothing of that has changed, and where it does not,
    everything is looked at again.

    Raises: what `next_draft` does; IdempotencyKeyReused, HeadMoved, DatabaseUnavailable.
    """
    for _ in range(MAX_TRIES):
        with transaction(url, API) as connection:
            chain_id = chain_id_of(connection, settings.chain)
            row = connection.execute(store.EPOCH, (chain_id,)).fetchone()
            claimed = claimed_by(connection, chain_id, claim)
            draft = None if claimed else _draft_of(next_draft, connection, chain_id, claim)
            if draft is None:
                # A copy of this request may have been recorded between the two looks, and left nothing to do.
                return claimed or claimed_by(connection, chain_id, claim)
            draft = replace(draft, epoch=row[0] if row else 0)
            if claim is not None:
                draft = replace(draft, claim=claim.claim, fingerprint=claim.fingerprint)
            (answer,) = append(connection, chain_id, [draft])
        if isinstance(answer, Appended):
            return answer
        if not isinstance(answer, Stale):
            raise LedgerBroken(f"a policy entry was answered with {answer}")
    raise HeadMoved(f"flags or policies changed {MAX_TRIES} times meanwhile")


def _draft_of(next_draft: NextDraft, connection: psycopg.Connection, chain_id: UUID, claim: Claim | None) -> Draft | None:
    """None also where a copy of this request was recorded since, and that is why it is refused now."""
    try:
        return next_draft(connection, chain_id)
    except Conflict:
        if claimed_by(connection, chain_id, claim) is None:
            raise
        return None
