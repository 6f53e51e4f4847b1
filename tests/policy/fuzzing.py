"""What the fuzzers try, each from a handful of bytes: the loader with its lint and suites, and facts up to the verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from precedent.errors import FactsInvalid, NotStrictJson, PolicyInvalid, Problem
from precedent.ledger.canonical import canonical_bytes, parse_strict
from precedent.policy.compile import CompiledPolicy, compile_policy
from precedent.policy.document import load_document
from precedent.policy.evaluate import evaluate
from precedent.policy.facts import type_facts
from precedent.policy.lint import lint_text
from precedent.policy.suite import run_suite
from tests.policy.shipped import CREDIT, ENABLED, FINANCE, NOON, compiled

SMALL = """\
policy: small
version: 1.0.0
node: small
owner: nobody
actions:
  act:
    facts:
      amount: {type: money, currency: EUR, min: 0}
      share: {type: ratio, optional: true, default: 5 %}
      day: {type: date, optional: true, default: 2026-01-01}
      tier: {type: enum, values: [A, B]}
      who: {type: string, entity: customer, personal: pseudonym, optional: true}
    memory: {features: {customer.count: {missing: 0}}}
    guards: [{name: late, when: "facts.day > 30000 || memory.customer.count > 3", verdict: escalate, reason: TOO_LATE}]
    bands: [{name: small, level: AL1, with: {most: 100}, when: "facts.amount <= band.most && facts.tier in ['A']", reason: IS_SMALL}]
    otherwise: {verdict: escalate, to: SOMEBODY, within: 24h, on_timeout: deny, reason: OUTSIDE_EVERY_BAND}
"""
SUITE = """\
policy: small@1.0.0
action: act
now: 2026-11-17T12:00:00Z
cases: [{name: small, facts: {amount: "10.50", tier: A}, expect: {verdict: approve, level: AL1}}]
"""
EVERY_FACT = (
    b'{"amount": "10.50", "share": "8 %", "day": "2026-11-22", "tier": "A", "who": "C-1"}',
    b'{"amount": 1e2, "tier": "B", "share": -0.05, "day": null}',
    b'{"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}',
)


def seeds(what: str) -> list[bytes]:
    """What a fuzzer begins with."""
    if what == "facts":
        return list(EVERY_FACT)
    return [SMALL.encode(), SUITE.encode(), FINANCE.read_bytes(), CREDIT.read_bytes()]


def try_loader(data: bytes) -> None:
    """Any text is a policy or is refused with problems that say where and what to do; the same holds of it as a suite."""
    text = data.decode("utf-8", "surrogateescape")
    found: list[Problem] = lint_text(text, "fuzzed.yaml")
    for ask in (lambda: compile_policy(load_document(text, "fuzzed.yaml")), lambda: run_suite(small(), text, "fuzzed_test.yaml")):
        try:
            ask()
        except PolicyInvalid as refused:
            found += refused.problems or [Problem("NONE", "refused without a problem", "", 0, 0)]
    for problem in found:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.suggestion
        problem.quoted().encode("utf-8", "backslashreplace")


def try_facts(data: bytes) -> None:
    """Any body is refused, or its facts are, or there is a verdict that can be recorded; text alone never approves."""
    try:
        raw = parse_strict(data)
    except NotStrictJson:
        return
    if not isinstance(raw, dict):
        return
    for policy, action in ((small(), "act"), (compiled(FINANCE), "approve_discount")):
        try:
            typed = type_facts(policy.document.actions[action], raw)
        except FactsInvalid:
            continue
        core = evaluate(policy, action, typed.rules, {}, NOON, ENABLED).as_core()
        canonical_bytes(core)
        assert core["effective"] is not core["requires_human"]


@cache
def small() -> CompiledPolicy:
    return compile_policy(load_document(SMALL, "small.yaml"))


TARGETS: dict[str, Callable[[bytes], None]] = {"loader": try_loader, "facts": try_facts}
