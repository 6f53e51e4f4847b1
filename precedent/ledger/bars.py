"""What bars erasures: legal holds, of a subject or of all that a node decided about, and rules of retention. Entries, like all else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from precedent.clock import Clock, to_instant
from precedent.db.engine import ERASER, transaction
from precedent.errors import FieldInvalid, HoldNotFound, SubjectNotFound
from precedent.ledger import erase_store
from precedent.ledger.entry import Appended, Kind, Section, draft_entry

EVENTS = "events"
ANY_ACTION = "*"
MAX_DAYS = 36_500


def place_hold(url: str, chain_id: UUID, clock: Clock, *, on: UUID | str, until_us: int | None, reason: str, principal: str) -> Appended:
    """Nothing of a subject (its id), or of the subjects that a node (its name) decided about, is erased until then; None: until it is
    lifted. The entry's id is the hold's.

    Raises: FieldInvalid where that is over, or no reason is given; SubjectNotFound; DatabaseUnavailable.
    """
    if until_us is not None and until_us <= clock.now_us():
        raise FieldInvalid(f"couldn't place a hold until {to_instant(until_us)}: that is over")
    core = {
        "op": "hold",
        "subject_id": str(on) if isinstance(on, UUID) else None,
        "node": None if isinstance(on, UUID) else on,
        "until": None if until_us is None else to_instant(until_us),
    }
    return _record(url, chain_id, clock, core, reason, principal)


def lift_hold(url: str, chain_id: UUID, clock: Clock, *, hold_id: UUID, reason: str, principal: str) -> Appended:
    """The hold bars nothing any more. Raises: HoldNotFound, also where it was lifted; FieldInvalid, DatabaseUnavailable."""
    return _record(url, chain_id, clock, {"op": "lift", "hold_id": str(hold_id)}, reason, principal)


def keep_for(url: str, chain_id: UUID, clock: Clock, *, node: str, action: str, days: int, reason: str, principal: str) -> Appended:
    """What a node decided by an action (`events` and a type: such events) is kept for so many days from when it happened; `*` is
    every action that has no rule of its own. It replaces the rule of before; 0 days keep nothing.

    Raises: FieldInvalid, DatabaseUnavailable.
    """
    if not 0 <= days <= MAX_DAYS:
        raise FieldInvalid(f"couldn't keep it for {days} days: 0 to {MAX_DAYS} are possible")
    return _record(url, chain_id, clock, {"op": "retain", "node": node, "action": action, "days": days}, reason, principal)


def _record(url: str, chain_id: UUID, clock: Clock, core: dict[str, Any], reason: str, principal: str) -> Appended:
    if not reason.strip():
        raise FieldInvalid("what bars erasures, or no longer does, needs a reason")
    draft = draft_entry(clock, Kind.ERASURE, {Section.CORE: core | {"reason": reason, "principal": principal}})
    try:
        with transaction(url, ERASER) as connection:
            return erase_store.bar(connection, chain_id, draft)
    except psycopg.Error as error:
        if error.sqlstate == erase_store.SUBJECT_MOVED:
            raise SubjectNotFound(f"couldn't place the hold: {error.diag.message_primary}") from error
        if error.sqlstate == erase_store.NO_SUCH_HOLD:
            raise HoldNotFound(str(error.diag.message_primary)) from error
        raise
