"""What holds of every policy and not of one: policies are made up here, with rules that hold, don't, and err."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from precedent.policy.compile import CompiledAction, CompiledPolicy
from precedent.policy.evaluate import Control, Moment, Result, evaluate
from precedent.settings import project_root
from tests.policy.shipped import ENABLED, NOON, compile_text

HEAD = """
policy: made
version: 1.0.0
node: made
owner: nobody
actions:
  act:
    facts:
      amount: {type: int, min: -100, max: 100}
      other: {type: int, min: -100, max: 100}
      spare: {type: int, optional: true, default: 0}
      tier: {type: enum, values: [A, B, C]}
      checked: {type: bool}
      customer: {type: string, entity: customer, personal: pseudonym, optional: true}
    memory: {features: {customer.count: {}, customer.rate: {missing: 7}}}
"""
OTHERWISE = "    otherwise: {verdict: escalate, to: SOMEBODY, within: 24h, on_timeout: deny, reason: OUTSIDE_EVERY_BAND}\n"

facts = st.fixed_dictionaries(
    {
        "amount": st.integers(-100, 100),
        "other": st.integers(-100, 100),
        "spare": st.integers(-5, 5),
        "tier": st.sampled_from("ABC"),
        "checked": st.booleans(),
    }
)
features = st.fixed_dictionaries({}, optional={"customer.count": st.integers(-100, 100), "customer.rate": st.integers(0, 9)})
controls = st.builds(Control, st.just(False), st.just(True), st.integers(0, 3))
numbers = st.integers(-100, 100)
atoms = st.one_of(
    st.builds("facts.amount {} {}".format, st.sampled_from(("<", "<=", ">", ">=", "==", "!=")), numbers),
    st.builds("facts.other {} facts.amount".format, st.sampled_from(("<", ">="))),
    st.builds("facts.tier == '{}'".format, st.sampled_from("ABC")),
    st.builds("memory.customer.{} > {}".format, st.sampled_from(("count", "rate")), numbers),
    st.builds("facts.amount / facts.spare > {}".format, numbers),
    st.builds("facts.other % (facts.amount - {}) == 0".format, numbers),
    st.sampled_from(("facts.checked", "!facts.checked", "weekday == 1", "local_minute > 800", "true", "false")),
)
conditions = st.recursive(atoms, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(("&&", "||")), inner), max_leaves=4)
guards = st.tuples(conditions, st.sampled_from(("deny", "escalate")))
bands = st.tuples(conditions, st.integers(0, 3))
GuardsOf = list[tuple[str, str]]
BandsOf = list[tuple[str, int]]


def policy_of(guarding: GuardsOf, permitting: BandsOf) -> CompiledPolicy:
    """The policy with these rules, in this order."""
    held = [
        f'      - {{name: g{place}, when: "{when}", verdict: {verdict}, reason: G_{place}}}\n'
        for place, (when, verdict) in enumerate(guarding)
    ]
    some = [
        f'      - {{name: b{place}, level: AL{level}, when: "{when}", reason: B_{place}}}\n'
        for place, (when, level) in enumerate(permitting)
    ]
    rules = ("    guards:\n" + "".join(held) if held else "") + ("    bands:\n" + "".join(some) if some else "")
    return compile_text(HEAD + rules + OTHERWISE)


def bytes_of(result: Result) -> bytes:
    return orjson.dumps(result.as_core(), option=orjson.OPT_SORT_KEYS)


def autonomy(result: Result) -> int:
    """How far the answer acts on its own: -1 where it permits nothing."""
    return result.level if result.verdict == "approve" and result.effective else -1


@settings(max_examples=60)
@given(st.lists(guards, max_size=4), st.lists(bands, max_size=16), facts, features, controls)
def test_asked_in_one_call_or_one_by_one_the_rules_say_the_same(
    guarding: GuardsOf, permitting: BandsOf, deal: dict[str, Any], memory: dict[str, Any], control: Control
) -> None:
    policy = policy_of(guarding, permitting)
    singly = replace(policy, actions={"act": _without_chain(policy.actions["act"])})
    both = [evaluate(one, "act", deal, memory, NOON, control) for one in (policy, singly)]
    assert _but_change(both[0]) == _but_change(both[1])


class NoChain:
    """A chain of which some rule always errs: the evaluator then asks each by itself."""

    def first(self, activation: Any) -> None:
        return None


def _without_chain(action: CompiledAction) -> CompiledAction:
    return replace(action, chain=NoChain())  # type: ignore[arg-type]


def _but_change(result: Result) -> dict[str, Any]:
    """Trying changed facts uses the chain alone, so the nearest change is left out."""
    return {key: value for key, value in result.as_core().items() if key != "counterfactual"}


@settings(max_examples=60)
@given(st.lists(guards, max_size=4), st.lists(bands, max_size=6), facts, features, controls)
def test_of_any_policy_an_erring_rule_never_approves_and_is_the_last_that_was_asked(
    guarding: GuardsOf, permitting: BandsOf, deal: dict[str, Any], memory: dict[str, Any], control: Control
) -> None:
    result = evaluate(policy_of(guarding, permitting), "act", deal, memory, NOON, control)
    erring = [place for place, step in enumerate(result.trace) if step.held == "error"]
    assert erring in ([], [len(result.trace) - 1])
    assert bool(erring) is (result.reasons[0].code == "RULE_ERROR")
    if erring:
        assert (result.verdict, result.effective, result.requires_human) == ("escalate", False, True)


@settings(max_examples=60)
@given(st.lists(guards, max_size=3), st.lists(bands, max_size=5), guards, st.integers(0, 3), facts, features, controls)
def test_one_guard_more_never_raises_the_autonomy(
    guarding: GuardsOf,
    permitting: BandsOf,
    added: tuple[str, str],
    place: int,
    deal: dict[str, Any],
    memory: dict[str, Any],
    control: Control,
) -> None:
    before = evaluate(policy_of(guarding, permitting), "act", deal, memory, NOON, control)
    after = evaluate(policy_of([*guarding[:place], added, *guarding[place:]], permitting), "act", deal, memory, NOON, control)
    assert autonomy(after) <= autonomy(before)


@settings(max_examples=60)
@given(st.lists(guards, max_size=2), st.lists(bands, min_size=1, max_size=4), facts, st.data())
def test_of_any_policy_a_missing_or_unknown_fact_never_approves(
    guarding: GuardsOf, permitting: BandsOf, deal: dict[str, Any], data: st.DataObject
) -> None:
    policy = policy_of(guarding, permitting)
    name = data.draw(st.sampled_from(("amount", "other", "tier", "checked")))
    missing = evaluate(policy, "act", {key: value for key, value in deal.items() if key != name}, {}, NOON, ENABLED)
    unknown = evaluate(policy, "act", {**deal, f"{name}_": deal[name]}, {}, NOON, ENABLED)
    for result in (missing, unknown):
        assert (result.verdict, result.effective, result.reasons[0].code) == ("escalate", False, "RULE_ERROR")


@settings(max_examples=60)
@given(st.lists(guards, max_size=3), st.lists(bands, max_size=5), facts, features, st.randoms(use_true_random=False))
def test_the_order_of_facts_and_features_changes_no_byte(
    guarding: GuardsOf, permitting: BandsOf, deal: dict[str, Any], memory: dict[str, Any], chance: random.Random
) -> None:
    policy = policy_of(guarding, permitting)
    said = {bytes_of(evaluate(policy, "act", deal, memory, NOON, ENABLED))}
    for _ in range(3):
        said.add(bytes_of(evaluate(policy, "act", shuffled(deal, chance), shuffled(memory, chance), NOON, ENABLED)))
    assert len(said) == 1


def shuffled(held: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    return dict(chance.sample(sorted(held.items()), len(held)))


PRINTER = """
import hashlib, random, sys
from tests.policy.test_properties import NOON, ENABLED, bytes_of, evaluate, policy_of, shuffled
made, order = random.Random(7), random.Random(int(sys.argv[1]))
guards = [("facts.amount / facts.spare > 40", "deny"), ("facts.tier == 'C' && memory.customer.count > 3", "escalate")]
bands = [(f"facts.amount <= {10 * place} && facts.other >= {5 * place}", place % 4) for place in range(20)]
policy, digest = policy_of(guards, bands), hashlib.sha256()
for _ in range(2000):
    deal = {"amount": made.randint(-100, 100), "other": made.randint(-100, 100), "spare": made.randint(0, 5),
            "tier": made.choice("ABC"), "checked": made.random() < 0.5}
    memory = {"customer.count": made.randint(0, 9), "customer.rate": made.randint(0, 9)}
    digest.update(bytes_of(evaluate(policy, "act", shuffled(deal, order), shuffled(memory, order), NOON, ENABLED)))
print(policy.document.digest_hex, digest.hexdigest())
"""


def test_processes_hash_seeds_and_orders_give_the_same_bytes() -> None:
    said = set()
    for seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PRINTER, seed], cwd=project_root(), env=environment, check=True, capture_output=True, text=True
        )
        said.add(run.stdout)
    assert len(said) == 1


def test_only_the_moment_that_is_given_counts() -> None:
    policy = policy_of([], [("weekday == 1 && local_minute == 720", 1)])
    deal = {"amount": 0, "other": 0, "tier": "A", "checked": False}
    assert evaluate(policy, "act", deal, {}, NOON, ENABLED).verdict == "approve"
    assert evaluate(policy, "act", deal, {}, Moment(NOON.at_us, 2, 720), ENABLED).verdict == "escalate"
