"""From the checked tree to facts, rules and actions: units converted, durations in seconds, names unique."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from precedent.errors import Problem
from precedent.policy.currencies import CURRENCY_DECIMALS
from precedent.policy.markup import Node
from precedent.policy.model import Action, Fact, Reward, Rule
from precedent.policy.quantity import LARGEST, NUMERIC_TYPES, QuantityRefused, scale_written
from precedent.policy.structure import nearest
from precedent.policy.values import to_typed

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
RESERVED_RULES = frozenset({"otherwise", "halted", "not_enabled", "facts"})
RESERVED_NAMES = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "namespace"}
    | {"null", "package", "return", "true", "var", "void", "while"}
)
# a reason that tells nobody anything: what lenders may not answer under 12 CFR 1002.9(b)(2), and their like
BANNED_REASONS = frozenset(
    {"DENIED", "FAILED", "INTERNAL_POLICY", "INTERNAL_STANDARDS", "MISC", "OTHER", "POLICY", "SCORE_TOO_LOW", "UNKNOWN"}
)
BANNED_WORDS = re.compile(
    r"internal (polic|standard|rule)|qualifying score|for (other|various) reasons|computer (says|decided)", re.IGNORECASE
)
BOUNDED_TYPES = NUMERIC_TYPES | {"date", "instant"}

Path = tuple[str | int, ...]


def read_actions(root: Node, file: str) -> tuple[dict[str, Action], list[Problem]]:
    """Every action, and every problem of its contract. An action with a problem may hold placeholders: use neither then."""
    reader = _Contract(root, file)
    plain: Any = root.plain()
    actions = {name: reader.action(name, body) for name, body in plain["actions"].items()}
    return actions, reader.problems


def read_names(root: Node, actions: dict[str, Action], file: str) -> list[Problem]:
    """Problems of the document's own names: its zone, its default action, the facts that invariants move."""
    reader = _Contract(root, file)
    plain: Any = root.plain()
    try:
        ZoneInfo(plain.get("time_zone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reader.note(("time_zone",), "UNKNOWN_ZONE", f"no such time zone: {plain['time_zone']}")
    if (default := plain.get("default_action")) is not None and default not in actions:
        reader.note(("default_action",), "UNKNOWN_NAME", f"no action is named '{default}'", nearest(default, actions))
    facts = {name for action in actions.values() for name in action.facts}
    for index, invariant in enumerate(plain.get("invariants", ())):
        moved = invariant.get("monotone", {}).get("fact")
        if moved is not None and moved not in facts:
            reader.note(("invariants", index, "monotone", "fact"), "UNKNOWN_NAME", f"no fact is named '{moved}'", nearest(moved, facts))
    return reader.problems


def seconds_of(duration: str | None) -> int | None:
    """48h in seconds."""
    return None if duration is None else int(duration[:-1]) * SECONDS[duration[-1]]


class _Contract:
    def __init__(self, root: Node, file: str) -> None:
        self.root = root
        self.file = file
        self.problems: list[Problem] = []

    def note(self, path: Path, code: str, message: str, suggestion: str | None = None) -> None:
        node = self.root.at(path)
        self.problems.append(Problem(code, message, self.file, node.line, node.column, suggestion=suggestion))

    def action(self, name: str, body: dict[str, Any]) -> Action:
        path: Path = ("actions", name)
        memory = body.get("memory", {})
        facts = {key: self.fact(key, held, (*path, "facts", key)) for key, held in body["facts"].items()}
        features = {key: held.get("missing") for key, held in memory.get("features", {}).items()}
        guards = tuple(self.rules("guard", body.get("guards", []), (*path, "guards")))
        bands = tuple(self.rules("band", body.get("bands", []), (*path, "bands")))
        self.unique([*guards, *bands])
        self.entities(path, facts, features)
        return Action(
            name=name,
            facts=MappingProxyType(facts),
            features=MappingProxyType(features),
            precedents_k=memory.get("precedents", {}).get("k"),
            success_rate_missing=memory.get("precedents", {}).get("success_rate", {}).get("missing"),
            snapshot=memory.get("snapshot"),
            guards=guards,
            bands=bands,
            otherwise=self.rule("otherwise", body["otherwise"], (*path, "otherwise")),
            outcome=MappingProxyType(
                {key: self.metric(key, held, (*path, "outcome", key)) for key, held in body.get("outcome", {}).items()}
            ),
            reward=self.reward(body.get("reward")),
        )

    def fact(self, name: str, body: dict[str, Any], path: Path) -> Fact:
        kind = body["type"]
        personal = {True: "personal", "pseudonym": "pseudonym"}.get(body.get("personal", False), "none")
        if name in RESERVED_NAMES:
            self.note(path, "BAD_NAME", f"'{name}' is a word of the expression language")
        if body.get("entity") == "precedents":
            self.note((*path, "entity"), "BAD_NAME", "memory.precedents is what similar past decisions tell: name the entity otherwise")
        for key, kinds in (("currency", {"money"}), ("values", {"enum"}), ("min", BOUNDED_TYPES), ("max", BOUNDED_TYPES)):
            if key in body and kind not in kinds:
                self.note((*path, key), "BAD_VALUE", f"a fact of type {kind} has no {key}")
        for key, needed in (("currency", "money"), ("values", "enum")):
            if kind == needed and key not in body:
                self.note(path, "MISSING_KEY", f"a fact of type {needed} needs {key}")
        if kind == "money" and body.get("currency", "USD") not in CURRENCY_DECIMALS:
            self.note((*path, "currency"), "UNKNOWN_CURRENCY", f"ISO 4217 has no currency {body['currency']}")
        if (body.get("entity") or personal == "pseudonym") and kind != "string":
            self.note(path, "BAD_VALUE", "an entity or a pseudonym is a string")
        if personal == "personal" and body.get("entity"):
            self.note(
                (*path, "personal"), "BAD_VALUE", "an entity's id stands in the record in clear: for a person it is personal: pseudonym"
            )
        if personal == "pseudonym" and not body.get("entity"):
            self.note(path, "MISSING_KEY", "a pseudonym needs entity: it finds that entity's features")
        fact = Fact(
            name,
            kind,
            currency=body.get("currency"),
            values=tuple(body.get("values", ())),
            entity=body.get("entity"),
            personal=personal,
            optional=body.get("optional", False),
        )
        low, high = self.typed(fact, body, "min", path), self.typed(fact, body, "max", path)
        fact = replace(fact, minimum=low if isinstance(low, int) else None, maximum=high if isinstance(high, int) else None)
        if fact.minimum is not None and fact.maximum is not None and fact.minimum > fact.maximum:
            self.note((*path, "max"), "BAD_VALUE", "max lies below min")
        if "default" in body and not fact.optional:
            self.note((*path, "default"), "BAD_VALUE", "only an optional fact has a default")
        return replace(fact, default=self.typed(fact, body, "default", path))

    def metric(self, name: str, body: dict[str, Any], path: Path) -> Fact:
        """A fact of the outcome. An outcome has no personal section: what it says is stored in clear."""
        for key in ("personal", "entity"):
            if body.get(key):
                self.note((*path, key), "BAD_VALUE", f"an outcome is stored in clear and finds nobody: a metric has no {key}")
        return self.fact(name, body, path)

    def typed(self, fact: Fact, body: dict[str, Any], key: str, path: Path) -> int | bool | str | None:
        if key not in body or (fact.type == "money" and not fact.currency):
            return None
        if key != "default" and fact.type not in BOUNDED_TYPES:
            return None
        try:
            return to_typed(fact, body[key])
        except QuantityRefused as refused:
            self.note((*path, key), refused.code, f"{key} of {fact.name}: {refused.message}")
            return None

    def rules(self, kind: str, bodies: list[dict[str, Any]], path: Path) -> Iterator[Rule]:
        for index, body in enumerate(bodies):
            yield self.rule(kind, body, (*path, index))

    def rule(self, kind: str, body: dict[str, Any], path: Path) -> Rule:
        verdict = "approve" if kind == "band" else body["verdict"]
        if body["reason"] in BANNED_REASONS:
            self.note((*path, "reason"), "BANNED_REASON", f"{body['reason']} gives no reason: name what was decisive")
        if BANNED_WORDS.search(body.get("text", "")):
            self.note((*path, "text"), "BANNED_REASON", "the text gives no reason: name what was decisive")
        if verdict == "deny":
            for key in ("to", "within", "on_timeout"):
                if key in body:
                    self.note((*path, key), "BAD_VALUE", f"a rule that denies asks nobody: {key} has no meaning")
        numbers: dict[str, int | Decimal | str] = body.get("with", {})
        for number in numbers:
            if number in RESERVED_NAMES:
                self.note((*path, "with", number), "BAD_NAME", f"'{number}' is a word of the expression language")
        return Rule(
            kind=kind,
            name=body.get("name", "otherwise"),
            path=path,
            when=body.get("when", "true"),
            verdict=verdict,
            level=int(body.get("level", "AL0")[2]),
            reason=body["reason"],
            text=body.get("text"),
            numbers=MappingProxyType(numbers),
            to=body.get("to"),
            within_seconds=seconds_of(body.get("within")),
            on_timeout=body.get("on_timeout"),
            notify=body.get("notify"),
            reversible_seconds=seconds_of(body.get("reversible")),
            audit_ppm=self.share(body.get("audit", 0), (*path, "audit")),
        )

    def share(self, value: int | Decimal | str, path: Path) -> int:
        try:
            share = scale_written(value, 6, is_share=True)
            if not 0 <= share <= 1_000_000:
                raise QuantityRefused("OUT_OF_RANGE", "a share lies between 0 and 1, or 0 % and 100 %")
            return share
        except QuantityRefused as refused:
            self.note(path, refused.code, f"audit: {refused.message}")
            return 0

    def unique(self, rules: list[Rule]) -> None:
        seen: set[str] = set()
        for rule in rules:
            if rule.name in seen:
                self.note((*rule.path, "name"), "DUPLICATE_NAME", f"two rules are named '{rule.name}'")
            if rule.name in RESERVED_RULES:
                self.note((*rule.path, "name"), "BAD_NAME", f"'{rule.name}' is a name that answers use themselves")
            seen.add(rule.name)

    def entities(self, path: Path, facts: dict[str, Fact], features: dict[str, int | bool | str | None]) -> None:
        entities = {fact.entity for fact in facts.values() if fact.entity}
        for feature, missing in features.items():
            at = (*path, "memory", "features", feature)
            entity = feature.partition(".")[0]
            if entity not in entities:
                declare = f"declare the fact whose value finds it: {{type: string, entity: {entity}}}"
                self.note(at, "UNKNOWN_NAME", f"no fact finds the entity '{entity}'", nearest(entity, entities) or declare)
            if RESERVED_NAMES & set(feature.split(".")):
                self.note(at, "BAD_NAME", f"'{feature}' holds a word of the expression language")
            if isinstance(missing, int) and not -LARGEST <= missing <= LARGEST:
                self.note((*at, "missing"), "OUT_OF_RANGE", "beyond ±(2^53 − 1)")
        found = [fact.entity for fact in facts.values() if fact.entity]
        for entity in {entity for entity in found if found.count(entity) > 1}:
            self.note((*path, "facts"), "DUPLICATE_NAME", f"two facts find the entity '{entity}'")
        if sum(fact.personal == "pseudonym" for fact in facts.values()) > 1:
            self.note((*path, "facts"), "DUPLICATE_NAME", "one action has one pseudonym: an entry has one subject")

    def reward(self, body: dict[str, Any] | None) -> Reward | None:
        return None if body is None else Reward(body["success"], seconds_of(body["horizon"]) or 0)
