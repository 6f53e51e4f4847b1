"""Flags: whether an action may be decided at all, up to which level alone, and the kill switch. Absent means not enabled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from precedent.clock import Clock, SystemClock
from precedent.db.engine import API, transaction
from precedent.errors import Fault, FieldInvalid, LedgerBroken
from precedent.ledger.entry import Appended, Claimed, Draft, Kind, Section, draft_entry
from precedent.ledger.idempotency import Claim
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append
from precedent.settings import Settings

KILL_SWITCH = ("*", "*")
MAX_LEVEL = 3
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")  # as in policies/_schemas/policy.v1.json


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of `node_flags`: an action's switch and its grant."""

    is_enabled: bool
    max_level: int


@dataclass(frozen=True, slots=True)
class Flags:
    """All flags of one epoch."""

    by_action: Mapping[tuple[str, str], Flag] = field(default_factory=dict)

    @property
    def is_halted(self) -> bool:
        switch = self.by_action.get(KILL_SWITCH)
        return switch is not None and not switch.is_enabled

    def of(self, node: str, action: str) -> Flag:
        """The action's flag; not enabled, with no authority, where none is set."""
        return self.by_action.get((node, action), Flag(False, 0))


def flag_draft(clock: Clock, node: str, action: str, *, is_enabled: bool, max_level: int, reason: str, principal: str) -> Draft:
    """The entry that sets a flag.

    Raises: FieldInvalid.
    """
    if not 0 <= max_level <= MAX_LEVEL:
        raise _invalid("max_level", f"max_level is 0 to {MAX_LEVEL}, not {max_level}")
    if not reason.strip():
        raise _invalid("reason", "a flag needs a reason")
    if (node, action) != KILL_SWITCH:
        for member, name in (("node", node), ("action", action)):
            if not NAME.fullmatch(name):
                raise _invalid(member, f"'{name[:64]}' names no {member}: a name has lower-case letters, digits and _")
    core = {"node": node, "action": action, "enabled": is_enabled, "max_level": max_level, "reason": reason, "principal": principal}
    return draft_entry(clock, Kind.FLAG, {Section.CORE: core})


def set_flag(
    url: str,
    settings: Settings,
    node: str,
    action: str,
    enabled: bool,
    max_level: int,
    reason: str,
    principal: str,
    claim: Claim | None = None,
) -> Appended | Claimed:
    """Set a flag, at once for every process: nothing decided under the flags before can be committed any more.

    `Claimed` where the same was asked before under the same idempotency key: then nothing was changed again.

    Raises: FieldInvalid, IdempotencyKeyReused, DatabaseUnavailable.
    """
    draft = flag_draft(SystemClock(), node, action, is_enabled=enabled, max_level=max_level, reason=reason, principal=principal)
    if claim is not None:
        draft = replace(draft, claim=claim.claim, fingerprint=claim.fingerprint)
    with transaction(url, API) as connection:
        (answer,) = append(connection, chain_id_of(connection, settings.chain), [draft])
    if isinstance(answer, Claimed) and claim is not None:
        claim.require_same_body(answer)
    elif not isinstance(answer, Appended):
        raise LedgerBroken(f"a flag was answered with {answer}")
    return answer


def _invalid(member: str, message: str) -> FieldInvalid:
    return FieldInvalid(message, [Fault("FIELD_INVALID", f"/{member}", message)])
