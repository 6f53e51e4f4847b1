from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.errors import ActionNotFound
from precedent.policy.evaluate import EVALUATOR, Control, Moment, evaluate, moment_of
from precedent.policy.facts import type_facts
from precedent.settings import project_root
from tests.policy.shipped import ENABLED, FINANCE, GUARD, INSIDE, NOON, compile_text, compiled, decide, finance_with

RULES = {"deal_value": 1_200_000, "base_margin_pct": 3100, "requested_discount_pct": 800, "customer_tier": "A"}
deals = st.fixed_dictionaries(
    {
        "deal_value": st.integers(0, 10**12),
        "base_margin_pct": st.integers(0, 10_000),
        "requested_discount_pct": st.integers(0, 10_000),
        "customer_tier": st.sampled_from("ABC"),
    }
)
controls = st.builds(Control, st.booleans(), st.booleans(), st.integers(0, 3))


def test_the_mission_example_is_approved_in_the_broad_band() -> None:
    core = decide(compiled(FINANCE)).as_core()
    assert {key: core[key] for key in ("verdict", "level", "rule", "effective", "requires_human")} == {
        "verdict": "approve", "level": 2, "rule": "broad", "effective": True, "requires_human": False,
    }  # fmt: skip
    assert core["reasons"] == [
        {"code": "WITHIN_BROAD", "text": "8 % off at 31 % margin lies within the broad band (12 %, 23 %)"},
        {"code": "NOT_TIGHT", "text": "the tight band needs requested_discount_pct at most 5 %, it is 8 %"},
    ]
    read = {"facts.base_margin_pct": 3100, "facts.requested_discount_pct": 800}
    assert core["trace"] == [
        {"rule": "below_cost", "held": "not", "read": read},
        {"rule": "tight", "held": "not", "read": read},
        {"rule": "broad", "held": "held", "read": read},
    ]
    assert core["counterfactual"] == {
        "text": "3 points less requested_discount_pct would act within tight guardrails (AL1)",
        "changes": [{"fact": "requested_discount_pct", "to": "0.05"}],
    }
    assert (core["notify"], core["reversible_seconds"], core["audit_ppm"]) == ("SALES_LEAD", 172_800, 0)
    assert core["band_numbers"] == {"max_discount": 1200, "min_margin": 2300}


@pytest.mark.parametrize(
    ("discount", "margin", "verdict", "level", "rule"),
    [
        ("0.05", "0.25", "approve", 1, "tight"), ("0.0501", "0.25", "approve", 2, "broad"), ("0.05", "0.2499", "approve", 2, "broad"),
        ("0.12", "0.23", "approve", 2, "broad"), ("0.1201", "0.23", "approve", 3, "full"), ("0.12", "0.2299", "approve", 3, "full"),
        ("0.15", "0.22", "approve", 3, "full"),
        ("0.1501", "0.22", "escalate", 0, "otherwise"), ("0.15", "0.2199", "escalate", 0, "otherwise"),
        ("0.25", "0.25", "escalate", 0, "otherwise"), ("0.2501", "0.25", "deny", 0, "below_cost"),
    ],
)  # fmt: skip
def test_each_edge_of_the_finance_bands_on_both_sides(discount: str, margin: str, verdict: str, level: int, rule: str) -> None:
    result = decide(compiled(FINANCE), requested_discount_pct=Decimal(discount), base_margin_pct=Decimal(margin))
    assert (result.verdict, result.level, result.rule) == (verdict, level, rule)


def test_halted_comes_first_and_asks_a_person() -> None:
    result = decide(compiled(FINANCE), Control(halted=True, enabled=False, max_level=3))
    assert (result.verdict, result.rule, result.reasons[0].code, result.effective) == ("escalate", "halted", "HALTED", False)
    assert (result.review_to, result.within_seconds, result.on_timeout) == ("CFO", 86_400, "deny")


def test_what_is_not_enabled_is_denied() -> None:
    result = decide(compiled(FINANCE), Control(halted=False, enabled=False, max_level=3))
    assert (result.verdict, result.effective, result.requires_human, result.trace) == ("deny", True, False, ())


def test_a_band_above_the_grant_escalates_with_the_recommendation() -> None:
    result = decide(compiled(FINANCE), Control(halted=False, enabled=True, max_level=1))
    core = result.as_core()
    assert (result.verdict, result.level, result.effective, result.requires_human) == ("escalate", 0, False, True)
    assert [reason.code for reason in result.reasons] == ["ABOVE_GRANT", "WITHIN_BROAD", "NOT_TIGHT"]
    assert core["recommendation"] == {"verdict": "approve", "level": 2, "rule": "broad"}
    assert core["band_numbers"] == {"max_discount": 1200, "min_margin": 2300}


def test_an_approval_at_al0_only_recommends() -> None:
    result = decide(compile_text(finance_with(("level: AL2", "level: AL0"))))
    assert (result.verdict, result.level, result.effective, result.requires_human, result.review_to) == ("approve", 0, False, True, "CFO")
    assert result.recommendation is not None
    assert result.recommendation.verdict == "approve"


def test_a_denial_by_a_guard_uses_no_authority() -> None:
    result = decide(compiled(FINANCE), requested_discount_pct=Decimal("0.4"))
    assert (result.verdict, result.level, result.effective, result.requires_human) == ("deny", 0, True, False)
    assert (result.band_numbers, result.review_to) == ({}, None)


def test_a_guard_that_errs_escalates() -> None:
    policy = compile_text(finance_with((GUARD, '"facts.deal_value / (facts.base_margin_pct - facts.base_margin_pct) > 1"')))
    result = decide(policy)
    assert (result.verdict, result.rule, result.reasons[0].code) == ("escalate", "below_cost", "RULE_ERROR")
    assert [(step.rule, step.held, step.error) for step in result.trace] == [("below_cost", "error", "INVALID_ARGUMENT: divide by zero")]


def test_a_band_that_errs_does_not_go_on_to_a_wider_one() -> None:
    erring = INSIDE.replace('"facts', '"1 / facts.deal_value > 2 && facts')
    policy = compile_text(finance_with((f"&inside {INSIDE}", erring), ("*inside", INSIDE), ("*inside", INSIDE)))
    small = Decimal("0.05")
    assert decide(policy, requested_discount_pct=small).rule == "broad"
    result = decide(policy, requested_discount_pct=small, deal_value=0)
    assert (result.verdict, result.rule, result.reasons[0].code) == ("escalate", "tight", "RULE_ERROR")
    assert [step.rule for step in result.trace] == ["below_cost", "tight"]


def test_an_error_beside_what_decides_anyway_is_no_error() -> None:
    erring = INSIDE.replace('"facts', '"1 / facts.deal_value > 2 && facts')
    policy = compile_text(finance_with((f"&inside {INSIDE}", erring), ("*inside", INSIDE), ("*inside", INSIDE)))
    result = decide(policy, deal_value=0)
    assert [(step.rule, step.held) for step in result.trace] == [("below_cost", "not"), ("tight", "not"), ("broad", "held")]


def test_a_missing_feature_takes_its_declared_value_or_errs() -> None:
    guard = (GUARD, '"memory.customer.discounts_30d > 3"')
    policy = compile_text(finance_with(guard))
    assert decide(policy).verdict == "approve"
    assert evaluate(policy, "approve_discount", RULES, {"customer.discounts_30d": 4}, NOON, ENABLED).verdict == "deny"
    undeclared = compile_text(finance_with(guard, ("customer.discounts_30d: {missing: 0}", "customer.discounts_30d: {}")))
    result = decide(undeclared)
    assert (result.verdict, result.reasons[0].code) == ("escalate", "RULE_ERROR")
    wrong = evaluate(policy, "approve_discount", RULES, {"customer.discounts_30d": True}, NOON, ENABLED)
    assert (wrong.verdict, wrong.reasons[0].code) == ("escalate", "RULE_ERROR")


def test_an_unknown_action_is_not_found() -> None:
    with pytest.raises(ActionNotFound):
        evaluate(compiled(FINANCE), "approve_refund", RULES, {}, NOON, ENABLED)


@given(deals, controls)
def test_an_approval_always_stands_in_a_band_within_the_grant(deal: dict[str, Any], control: Control) -> None:
    result = evaluate(compiled(FINANCE), "approve_discount", deal, {}, NOON, control)
    if result.verdict == "approve":
        assert (control.halted, control.enabled) == (False, True)
        assert 1 <= result.level <= control.max_level
        assert deal["requested_discount_pct"] <= min(1500, deal["base_margin_pct"])
        assert deal["base_margin_pct"] >= 2200
    assert result.effective is not result.requires_human
    assert result.effective is (result.verdict == "deny" or (result.verdict == "approve" and result.level >= 1))


ERRING = (
    "facts.base_margin_pct / facts.requested_discount_pct > 1",
    "facts.deal_value % (facts.base_margin_pct - 3100) == 1",
    "facts.deal_value * facts.deal_value * facts.deal_value > 5",
    "memory.customer.discounts_30d > 3",
)


@given(deals, controls, st.sampled_from(ERRING), st.sampled_from(["guard", "tight", "broad", "full"]))
def test_an_erroring_rule_never_approves(deal: dict[str, Any], control: Control, expression: str, where: str) -> None:
    policy = _policy_with(expression, where)
    result = evaluate(policy, "approve_discount", deal, {}, NOON, control)
    if any(step.held == "error" for step in result.trace):
        assert (result.verdict, result.effective, result.reasons[0].code) == ("escalate", False, "RULE_ERROR")
        assert result.trace[-1].held == "error"


def _policy_with(expression: str, where: str) -> Any:
    if (expression, where) not in _POLICIES:
        changes = [("customer.discounts_30d: {missing: 0}", "customer.discounts_30d: {}")]
        if where == "guard":
            changes.append((GUARD, f'"{expression}"'))
        else:
            name, level = {"tight": ("tight", "AL1"), "broad": ("broad", "AL2"), "full": ("full", "AL3")}[where]
            extra = (
                f"- {{name: erring, level: {level}, with: {{min_margin: 0}}, when: '{expression}', reason: ERRING}}\n      - name: {name}"
            )
            changes.append((f"- name: {name}", extra))
        _POLICIES[expression, where] = compile_text(finance_with(*changes))
    return _POLICIES[expression, where]


_POLICIES: dict[tuple[str, str], Any] = {}
strange = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers() | st.binary(max_size=3) | st.lists(st.integers())


@given(deals, st.sampled_from(sorted(RULES)))
def test_a_missing_fact_never_approves(deal: dict[str, Any], name: str) -> None:
    facts = {key: value for key, value in deal.items() if key != name}
    result = evaluate(compiled(FINANCE), "approve_discount", facts, {}, NOON, ENABLED)
    assert (result.verdict, result.effective, result.reasons[0].code) == ("escalate", False, "RULE_ERROR")


@given(deals, st.text(min_size=1, max_size=20).filter(lambda name: name not in RULES), strange)
def test_an_unknown_fact_never_approves(deal: dict[str, Any], name: str, value: Any) -> None:
    result = evaluate(compiled(FINANCE), "approve_discount", {**deal, name: value}, {}, NOON, ENABLED)
    assert (result.verdict, result.effective, result.reasons[0].code) == ("escalate", False, "RULE_ERROR")


@given(deals, st.sampled_from(sorted(RULES)), strange)
def test_a_fact_of_another_type_never_approves(deal: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is type(RULES[name]):
        return
    result = evaluate(compiled(FINANCE), "approve_discount", {**deal, name: value}, {}, NOON, ENABLED)
    assert (result.verdict, result.effective) == ("escalate", False)


@given(deals, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_a_core_is_canonical_and_holds_nothing_personal(deal: dict[str, Any], note: str) -> None:
    marked = {"customer_id": f"SECRET-{note}", "note": f"SECRET-{note}"}
    raw = deal | {name: Decimal(deal[name]).scaleb(-4) for name in ("base_margin_pct", "requested_discount_pct")}
    typed = type_facts(compiled(FINANCE).document.actions["approve_discount"], {**raw, **marked})
    core = evaluate(compiled(FINANCE), "approve_discount", typed.rules, {}, NOON, ENABLED).as_core()
    _assert_canonical(core)
    assert b"SECRET" not in orjson.dumps(core)


def _assert_canonical(value: Any) -> None:
    if isinstance(value, dict):
        for key, held in value.items():
            assert key.isascii()
            assert key.isprintable()
            _assert_canonical(held)
    elif type(value) is list:
        for held in value:
            _assert_canonical(held)
    else:
        assert value is None or type(value) in {bool, str} or (type(value) is int and abs(value) < 2**53)


PRINTER = """
import hashlib, sys
import orjson
from tests.policy.shipped import CREDIT, FINANCE, ENABLED, NOON, compiled
from precedent.policy.evaluate import Control, Moment, evaluate
digest = hashlib.sha256()
for margin in range(0, 10001, 377):
    for discount in range(0, 10001, 291):
        for grant in range(4):
            facts = {"deal_value": 5, "base_margin_pct": margin, "requested_discount_pct": discount, "customer_tier": "B"}
            result = evaluate(compiled(FINANCE), "approve_discount", facts, {}, NOON, Control(False, True, grant))
            digest.update(orjson.dumps(result.as_core(), option=orjson.OPT_SORT_KEYS))
for amount in range(0, 9_000_000, 50_001):
    for weekday in range(1, 8):
        moment = Moment(0, weekday, amount % 1440)
        result = evaluate(compiled(CREDIT), "accept_application", {"amount_requested": amount}, {}, moment, ENABLED)
        digest.update(orjson.dumps(result.as_core(), option=orjson.OPT_SORT_KEYS))
print(compiled(FINANCE).document.digest_hex, compiled(CREDIT).document.digest_hex, digest.hexdigest())
"""


def test_two_processes_give_the_same_bytes() -> None:
    said = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PRINTER], cwd=project_root(), env=environment, check=True, capture_output=True, text=True
        )
        said.add(run.stdout)
    assert len(said) == 1


def test_the_evaluator_names_its_exact_version() -> None:
    assert EVALUATOR == "precedent/2 cel-expr-python/0.1.3"


@pytest.mark.parametrize(
    ("at", "zone", "weekday", "minute"),
    [
        (1_774_746_000, "Europe/Amsterdam", 7, 180),   # 2026-03-29T01:00:00Z: 02:00 became 03:00
        (1_774_745_999, "Europe/Amsterdam", 7, 119),
        (1_792_890_000, "Europe/Amsterdam", 7, 120),   # 2026-10-25T01:00:00Z: 03:00 became 02:00 again
        (1_792_886_400, "Europe/Amsterdam", 7, 120),
        (0, "UTC", 4, 0),
        (-1, "UTC", 3, 1439),
    ],
)  # fmt: skip
def test_a_moment_is_the_local_time_through_the_change_of_clocks(at: int, zone: str, weekday: int, minute: int) -> None:
    assert moment_of(at * 1_000_000, zone) == Moment(at * 1_000_000, weekday, minute)


def test_a_reward_is_a_success_a_failure_or_missing() -> None:
    policy, numbers = compiled(FINANCE), {"max_discount": 1200, "min_margin": 2300}
    assert policy.reward_ppm("approve_discount", {"won": True, "margin": 2300}, numbers) == 1_000_000
    assert policy.reward_ppm("approve_discount", {"won": True, "margin": 2299}, numbers) == 0
    assert policy.reward_ppm("approve_discount", {"won": False, "margin": 2400}, numbers) == 0
    assert policy.reward_ppm("approve_discount", {"won": True}, numbers) is None
    assert policy.reward_ppm("approve_discount", {"won": True, "margin": 2400}, {}) is None
    assert policy.reward_ppm("nothing", {"won": True, "margin": 2400}, numbers) is None


def test_an_integer_reward_is_clamped_and_an_erring_one_is_missing() -> None:
    written = '"outcome.won && outcome.margin >= band.min_margin"'
    policy = compile_text(finance_with((written, '"outcome.margin * 100 / (outcome.margin - 7)"')))
    assert policy.reward_ppm("approve_discount", {"won": True, "margin": 8}, {}) == 800
    assert policy.reward_ppm("approve_discount", {"won": True, "margin": 6}, {}) == 0
    assert policy.reward_ppm("approve_discount", {"won": True, "margin": 7}, {}) is None
    large = compile_text(finance_with((written, '"outcome.margin * 1000"')))
    assert large.reward_ppm("approve_discount", {"won": True, "margin": 9000}, {}) == 1_000_000


def test_words_never_fail_a_decision() -> None:
    text = finance_with(
        ("customer.win_rate_90d: {missing: 5000}", "customer.win_rate_90d: {}"),
        ('text: "{facts.requested_discount_pct} off at', 'text: "{memory.customer.win_rate_90d} of wins, off at'),
    )
    result = decide(compile_text(text), requested_discount_pct=Decimal("0.4"))
    assert result.reasons[0].text == "unknown of wins, off at 31 % margin sells below cost"


def test_words_are_made_from_the_condition_where_none_are_written() -> None:
    text = FINANCE.read_text(encoding="utf-8")
    policy = compile_text("".join(line for line in text.splitlines(keepends=True) if not line.strip().startswith("text:")))
    said = {name: decide(policy, requested_discount_pct=Decimal(name)).reasons[0].text for name in ("0.05", "0.2", "0.4")}
    assert said == {
        "0.05": "requested_discount_pct 5 % is at most 5 % and base_margin_pct 31 % is at least 25 %: within the tight band (AL1)",
        "0.2": "no band permits this: a person decides",
        "0.4": "requested_discount_pct 40 % is above base_margin_pct (31 %): below cost forbids it",
    }
