"""A recorded decision, derived again from what is recorded. Pure: no clock, no memory but the recorded one, nothing appended.

A result is a function of policy, facts, features, moment and control. All five stand in the entry (the policy by its digest), so
that `derive` needs nothing else: not today's flags, features or zone data. The correlation id stays the recorded one.

Levels of a replay: L0 is the exact difference, L1 agreement. What a candidate would have been worth (L2) and bounds where the
record does not support it (L3) need outcomes and action probabilities; they are estimates, and are no part of this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from precedent.clock import from_instant
from precedent.errors import LedgerBroken
from precedent.policy.compile import CompiledPolicy
from precedent.policy.evaluate import EVALUATOR, Control, Moment, evaluate
from precedent.policy.remembered import rule_values

MAX_PATHS = 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision as its entry tells it: what it followed from, and what was decided. `features` are all that is named memory.…"""

    seq: int
    id_bytes: bytes
    core: dict[str, Any]
    facts: dict[str, Any]
    features: dict[str, Any]
    moment: Moment
    control: Control

    @property
    def entry_id(self) -> str:
        return str(UUID(bytes=self.id_bytes))

    @property
    def action(self) -> str:
        return str(self.core["action"])

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = self.core["result"]
        return found

    @property
    def policy_ref(self) -> str:
        return str(self.core["derivation"]["policy"])

    @property
    def policy_digest(self) -> str:
        return str(self.core["derivation"]["policy_digest"])

    @property
    def evaluator(self) -> str:
        return str(self.core["derivation"]["evaluator"])

    @property
    def correlation_id(self) -> str:
        return str(self.core["call"]["correlation_id"])

    @property
    def decided_at(self) -> str:
        """Business time, as a canonical instant: these sort as text."""
        return str(self.core["derivation"]["now"])


def read_recorded(seq: int, id_bytes: bytes, core: bytes | None, facts: bytes | None, memory: bytes | None) -> Recorded:
    """The decision of an entry's stored sections.

    Raises: LedgerBroken where they aren't those of a decision.
    """
    try:
        # Their bytes are checked by `ledger verify`; the strict parser costs more than the derivation.
        parsed, given, held = orjson.loads(core or b""), orjson.loads(facts or b""), orjson.loads(memory or b"")
        derivation, control = parsed["derivation"], parsed["derivation"]["control"]
        moment = Moment(from_instant(derivation["now"]), derivation["weekday"], derivation["local_minute"])
        return Recorded(
            seq,
            id_bytes,
            parsed,
            given["facts"],
            rule_values(held),
            moment,
            Control(control["halted"], control["enabled"], control["max_level"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise LedgerBroken(f"entry {seq} is no decision that can be derived again: {error!r}") from error


def derive(policy: CompiledPolicy, recorded: Recorded) -> dict[str, Any]:
    """The `result` that the recorded inputs give under `policy`, which is the recorded one.

    Raises: ActionNotFound.
    """
    return evaluate(policy, recorded.action, recorded.facts, recorded.features, recorded.moment, recorded.control).as_core()


def result_bytes(result: dict[str, Any]) -> bytes:
    """Canonical bytes: of what the evaluator makes, the same as `canonical_bytes`, at a tenth of its cost."""
    return orjson.dumps(result, option=orjson.OPT_SORT_KEYS)


class Fault(StrEnum):
    """Why a decision was not derived to the same bytes."""

    DIFFERS = "differs"
    EVALUATOR_CHANGED = "evaluator changed"
    NOT_DERIVABLE = "not derivable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One decision that was not; `paths` are JSON pointers into its result."""

    seq: int
    entry_id: str
    fault: Fault
    words: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"seq {self.seq} ({self.entry_id}) {self.fault}: {self.words}"

    def as_dict(self) -> dict[str, Any]:
        return {"seq": self.seq, "id": self.entry_id, "fault": self.fault.value, "words": self.words, "paths": list(self.paths)}


def check(policy: CompiledPolicy, recorded: Recorded) -> Finding | None:
    """None where the derived result has the recorded bytes."""
    if recorded.action not in policy.actions:
        words = f"{recorded.policy_ref} has no action '{recorded.action}'"
        return Finding(recorded.seq, recorded.entry_id, Fault.NOT_DERIVABLE, words)
    derived = derive(policy, recorded)
    if result_bytes(derived) == result_bytes(recorded.result):
        return None
    differences = list(differing(recorded.result, derived, "/result"))
    shown = [f"{path} is {_shown(was)}, derived {_shown(now)}" for path, was, now in differences[:3]]
    if len(differences) > 3:
        shown.append(f"and {len(differences) - 3} more")
    paths = tuple(path for path, _, _ in differences[:MAX_PATHS])
    words = "; ".join(shown)
    if recorded.evaluator == EVALUATOR:
        return Finding(recorded.seq, recorded.entry_id, Fault.DIFFERS, words, paths)
    words = f"recorded by {recorded.evaluator}, derived by {EVALUATOR}: {words}"
    return Finding(recorded.seq, recorded.entry_id, Fault.EVALUATOR_CHANGED, words, paths)


_ABSENT = object()


def differing(was: object, now: object, path: str) -> Iterator[tuple[str, object, object]]:
    """Each place where two JSON values differ, as a JSON pointer (RFC 6901) with both; `true` is not 1."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            pointer = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            yield from differing(was.get(key, _ABSENT), now.get(key, _ABSENT), pointer)
    elif isinstance(was, list) and isinstance(now, list):
        for place in range(max(len(was), len(now))):
            pair = [items[place] if place < len(items) else _ABSENT for items in (was, now)]
            yield from differing(pair[0], pair[1], f"{path}/{place}")
    elif type(was) is not type(now) or was != now:
        yield path, was, now


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "absent"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else text[:77] + "…"
