"""What a policy costs by itself: one decision of 20 rules over 30 facts, and the load of a document of 50 rules."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from time import perf_counter

from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.evaluate import Control, Moment, evaluate
from precedent.policy.facts import type_facts

HEAD = """\
policy: measured
version: 1.0.0
node: measured
owner: nobody
actions:
  act:
    facts:
      amount: {type: money, currency: EUR, min: 0}
      margin: {type: ratio, min: 0, max: 1}
      region: {type: enum, values: [north, south]}
"""
OTHERWISE = "    otherwise: {verdict: escalate, to: SOMEBODY, within: 24h, on_timeout: deny, reason: OUTSIDE_EVERY_BAND}\n"
INSIDE = "facts.amount <= band.max_amount && facts.margin >= band.min_margin && facts.region == 'north'"
KINDS = (
    ("{type: int, min: 0, max: 1000}", 3),
    ("{type: bool}", True),
    ("{type: ratio, min: 0, max: 1}", Decimal("0.25")),
)


def policy_text(rules: int, facts: int) -> str:
    """A policy with so many rules, its `otherwise` among them, and so many facts; a third are guards, which read facts in turn."""
    guards, names = rules // 3, facts - 3
    lines = [HEAD]
    lines += [f"      fact_{number}: {KINDS[number % 3][0]}\n" for number in range(names)]
    lines.append("    guards:\n")
    for number in range(guards):
        limit, condition = _guarded(number % names)
        lines.append(f"      - {{name: g{number}, with: {limit}, when: '{condition}', verdict: deny, reason: TOO_MUCH_{number}}}\n")
    lines.append("    bands:\n")
    for number in range(rules - guards - 1):
        numbers = f"{{max_amount: {100 * (number + 1)}, min_margin: 0.{99 - number:02d}}}"
        lines.append(
            f'      - {{name: b{number}, level: AL{1 + number % 3}, with: {numbers}, when: "{INSIDE}", reason: WITHIN_{number}}}\n'
        )
    return "".join([*lines, OTHERWISE])


def _guarded(fact: int) -> tuple[str, str]:
    if fact % 3 == 1:
        return "{most: 9000}", f"!facts.fact_{fact} && facts.amount > guard.most"
    return ("{most: 900}" if fact % 3 == 0 else "{most: 0.9}"), f"facts.fact_{fact} > guard.most"


def raw_facts(facts: int, amount: int, margin: str) -> dict[str, object]:
    """A request to such a policy, as JSON is read."""
    return {"amount": amount, "margin": Decimal(margin), "region": "north"} | {
        f"fact_{number}": KINDS[number % 3][1] for number in range(facts - 3)
    }


def decision_us(verdict: str, rounds: int = 9, loops: int = 1000, rules: int = 20, facts: int = 30) -> float:
    """Microseconds from a dict of raw facts to the verdict with its trace, reasons and nearest change; the best round.

    An approval is by the last of the bands, an escalation by `otherwise`: each is asked of every rule.
    """
    policy = compile_policy(load_document(policy_text(rules, facts), "measured.yaml"))
    action = policy.document.actions["act"]
    last = rules - rules // 3 - 2
    raw = raw_facts(facts, 100 * (last + 1), f"0.{99 - last:02d}" if verdict == "approve" else "0.05")
    moment, control = Moment(1_763_380_800_000_000, 1, 720), Control(halted=False, enabled=True, max_level=3)

    def once() -> tuple[str, int]:
        result = evaluate(policy, "act", type_facts(action, raw).rules, {}, moment, control)
        return result.verdict, len(result.trace)

    assert once() == (verdict, rules - 1)
    return best(once, rounds, loops) * 1e6


def load_ms(rounds: int = 9, rules: int = 50, facts: int = 30) -> float:
    """Milliseconds from the text of a document to rules that are type-checked and can be evaluated; the best round."""
    text = policy_text(rules, facts)
    return best(lambda: compile_policy(load_document(text, "measured.yaml")), rounds, 1) * 1e3


def best(call: Callable[[], object], rounds: int, loops: int) -> float:
    """Seconds of one call in the round that was disturbed least."""

    def timed() -> float:
        began = perf_counter()
        for _ in range(loops):
            call()
        return (perf_counter() - began) / loops

    return min(timed() for _ in range(rounds))
