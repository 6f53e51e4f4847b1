"""Why a decision came out as it did, in words: made from its entry and its policy alone, whenever it is asked for.

Nothing personal can enter: the facts of an entry are those that rules may read, and personal ones live apart from it, encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from precedent.clock import instant_of, to_instant
from precedent.db.reads import Reads
from precedent.errors import DecisionNotFound, LedgerBroken
from precedent.ledger.entry import Kind
from precedent.ledger.projections import OUTCOME_COLUMNS, OUTCOMES
from precedent.ledger.store import Entries, StoredEntry
from precedent.memory.told import ToldPrecedents, told_precedents
from precedent.people.answers import Review, review_of
from precedent.people.review_store import REVIEW_OF
from precedent.policy import store
from precedent.policy.compile import CompiledAction, CompiledPolicy, CompiledRule, compile_policy
from precedent.policy.document import load_document
from precedent.policy.explain import absence, short_name, write_value
from precedent.policy.quantity import write_quantity
from precedent.policy.remembered import rule_values
from precedent.policy.thresholds import Value

LEVELS = (
    "recommends only: a person must approve",
    "acts within tight guardrails",
    "acts within broader guardrails, notifies, and can be reversed within a window",
    "acts at full autonomy, audited afterwards",
)
HEADLINES = {
    ("approve", True): "Approved, and in effect",
    ("approve", False): "Approval recommended: a person decides",
    ("deny", True): "Denied",
    ("escalate", False): "A person decides",
}
ANSWERED = {"approve": "Approved by a person", "deny": "Denied by a person", "reverse": "Reversed by a person"}


@dataclass(frozen=True, slots=True)
class Told:
    """A named value, as people read it and as it was recorded."""

    name: str
    text: str
    value: Value


@dataclass(frozen=True, slots=True)
class ToldRule:
    """One rule in its place: `state` is held, not, error or not_asked; `read` what it read."""

    name: str
    kind: str
    state: str
    decided: bool
    level: int | None
    text: str
    read: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that a person needs to understand one decision, and to find it in the ledger."""

    id: UUID
    node: str
    action: str
    headline: str
    verdict: str
    effective: bool
    requires_human: bool
    autonomy_level: int
    level_text: str
    rule: str
    reasons: tuple[Mapping[str, str], ...]
    counterfactual: Mapping[str, Any] | None
    recommendation: Mapping[str, Any] | None
    decided_at: str
    recorded_at: str
    imported: bool
    principal: str
    policy_version: str
    policy_digest: str
    policy_owner: str
    policy_description: str
    variant: str
    evaluator: str
    control: Mapping[str, Any]
    facts: tuple[Told, ...]
    memory: tuple[Told, ...]
    precedents: ToldPrecedents | None
    snapshot: Mapping[str, Any] | None
    rules: tuple[ToldRule, ...]
    review: Mapping[str, Any] | None
    outcome: Mapping[str, Any] | None
    seq: int
    hash: str


class Explainer:
    """Explains recorded decisions; one an API process or command."""

    def __init__(self, reads: Reads, entries: Entries, chain_id: UUID) -> None:
        self._reads = reads
        self._entries = entries
        self._chain_id = chain_id

    async def explain(self, decision_id: UUID) -> tuple[Explanation, StoredEntry]:
        """The explanation, and the entry that it is of.

        Raises: DecisionNotFound; LedgerBroken where the entry and its policy do not go together; DatabaseUnavailable.
        """
        entry = await self._entries.find(decision_id)
        if entry is None or entry.place.envelope[1] != Kind.DECISION:
            raise DecisionNotFound(f"no decision has the id {decision_id}")
        policy = await self._policy(entry.core["derivation"])
        review = await self._reads.fetch_one(REVIEW_OF, (self._chain_id, decision_id))
        outcome = await self._reads.fetch_one(OUTCOMES, {"chain": self._chain_id, "decision": decision_id})
        return explain_entry(entry, policy, review_of(review), outcome), entry

    async def _policy(self, derivation: Mapping[str, Any]) -> CompiledPolicy:
        ref = derivation["policy"]
        name, _, version = ref.partition("@")
        row = await self._reads.fetch_one(store.VERSION, (self._chain_id, name, version))
        if row is None:
            raise LedgerBroken(f"{ref} decided, but is not published")
        return _compiled(ref, row[3], derivation["policy_digest"])


@lru_cache(maxsize=64)
def _compiled(ref: str, source: str, digest_hex: str) -> CompiledPolicy:
    policy = compile_policy(load_document(source, ref))
    if policy.document.digest_hex != digest_hex:
        raise LedgerBroken(f"{ref} has another digest than the one that decided")
    return policy


def explain_entry(
    entry: StoredEntry, policy: CompiledPolicy, review: Review | None = None, outcome: tuple[Any, ...] | None = None
) -> Explanation:
    """The explanation of a decision's entry by the policy that decided it, with its review and the row of its current outcome."""
    core = entry.core
    result, derivation, call = core["result"], core["derivation"], core["call"]
    action = policy.actions[core["action"]]
    values, facts = _values(entry, action), entry.facts["facts"]
    return Explanation(
        id=entry.place.entry_id,
        node=core["node"],
        action=core["action"],
        headline=_headline(result, review),
        verdict=result["verdict"],
        effective=result["effective"],
        requires_human=result["requires_human"],
        autonomy_level=result["level"],
        level_text=LEVELS[result["level"]] if result["verdict"] == "approve" else "used no authority",
        rule=result["rule"],
        reasons=tuple(result["reasons"]),
        counterfactual=result["counterfactual"],
        recommendation=result["recommendation"],
        decided_at=call["as_of"] or to_instant(entry.place.recorded_at_us),
        recorded_at=to_instant(entry.place.recorded_at_us),
        imported=call["as_of"] is not None,
        principal=call["principal"],
        policy_version=derivation["policy"],
        policy_digest=derivation["policy_digest"],
        policy_owner=policy.document.owner,
        policy_description=policy.document.description,
        variant=derivation["variant"],
        evaluator=derivation["evaluator"],
        control=derivation["control"],
        facts=tuple(_told(action, f"facts.{name}", facts[name]) for name in action.action.facts if name in facts),
        memory=tuple(_told(action, f"memory.{name}", value) for name, value in rule_values(entry.memory).items() if value is not None),
        precedents=told_precedents(held, result["verdict"]) if (held := entry.memory.get("precedents")) else None,
        snapshot=entry.memory.get("snapshot"),
        rules=tuple(_rules(action, result, values)),
        review=told_review(review) if review else None,
        outcome=_outcome(action, outcome) if outcome else None,
        seq=entry.place.seq,
        hash=entry.place.leaf.hex(),
    )


def told_review(review: Review) -> dict[str, Any]:
    """A review as it stands now, with instants as everywhere; `to` is who was asked."""
    told = {name: _plain(value) for name, value in asdict(review).items() if name not in {"decision_id", "node", "action", "answer_id"}}
    answer_id = str(review.answer_id) if review.answer_id else None
    return {"to": told.pop("assigned_to"), **told, "answer_id": answer_id}


def _headline(result: Mapping[str, Any], review: Review | None) -> str:
    if review is not None and review.closed_at is not None and review.answer in ANSWERED:
        return ANSWERED[review.answer] if review.reviewer else "Denied: nobody answered in time"
    return HEADLINES.get((result["verdict"], result["effective"]), str(result["verdict"]))


def _values(entry: StoredEntry, action: CompiledAction) -> dict[str, Value]:
    """Every readable name that had a value, as the evaluator bound it."""
    derivation = entry.core["derivation"]
    values: dict[str, Value] = {"weekday": derivation["weekday"], "local_minute": derivation["local_minute"]}
    values.update({f"facts.{name}": value for name, value in entry.facts["facts"].items()})
    features = rule_values(entry.memory)
    for name, full_name, kind, missing in action.features:
        held = features.get(name)
        held = missing if held is None else held
        if type(held) is kind:
            values[full_name] = held  # type: ignore[assignment]
    return values


def _rules(action: CompiledAction, result: Mapping[str, Any], values: Mapping[str, Value]) -> list[ToldRule]:
    """Guards, bands and `otherwise` in their order; what stands after the deciding rule was not asked."""
    steps = {step["rule"]: step for step in result["trace"]}
    told = [_rule(action, rule, steps.get(rule.rule.name), result["rule"], values) for rule in (*action.guards, *action.bands)]
    last = action.otherwise
    decided = result["rule"] == last.rule.name
    text = last.words.fill(values, action.scope) if decided else "not asked: a rule before it decided"
    return [*told, ToldRule(last.rule.name, "otherwise", "held" if decided else "not_asked", decided, None, text, ())]


def _rule(
    action: CompiledAction, compiled: CompiledRule, step: Mapping[str, Any] | None, deciding: str, values: Mapping[str, Value]
) -> ToldRule:
    rule = compiled.rule
    level = rule.level if rule.kind == "band" else None
    decided = rule.name == deciding
    if step is None:
        return ToldRule(rule.name, rule.kind, "not_asked", decided, level, "not asked: it was decided before", ())
    match step["held"]:
        case "held":
            text = compiled.words.fill(values, action.scope)
        case "error":
            text = f"could not be evaluated: {step.get('error', 'no reason recorded')}"
        case _ if rule.kind == "band":
            text = compiled.shortfall.tell(values, action.scope)
        case _:
            text = absence(compiled.thresholds, values, action.scope) or "its condition does not hold"
    read = tuple(_told(action, name, value) for name, value in step["read"].items())
    return ToldRule(rule.name, rule.kind, step["held"], decided, level, text, read)


def _told(action: CompiledAction, name: str, value: Value) -> Told:
    variable = action.scope.get(name)
    return Told(short_name(name), write_value(variable, value) if variable else str(value), value)


def _outcome(action: CompiledAction, row: tuple[Any, ...]) -> dict[str, Any]:
    held = dict(zip(OUTCOME_COLUMNS, map(_plain, row), strict=True))
    declared = action.action.outcome
    metrics = [
        Told(name, write_quantity(value, declared[name].type, declared[name].currency) if name in declared else str(value), value)
        for name, value in held["metrics"].items()
    ]
    return {name: held[name] for name in ("revision", "reward", "observed_at", "recorded_at")} | {"metrics": metrics}


def _plain(value: Any) -> Any:
    """Instants as everywhere: RFC 3339 in UTC."""
    return instant_of(value) if isinstance(value, datetime) else value
