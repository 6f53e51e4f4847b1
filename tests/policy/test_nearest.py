from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from precedent.policy.evaluate import Control, Moment, Result, evaluate
from precedent.policy.facts import type_facts
from precedent.policy.quantity import write_decimal
from tests.policy.shipped import CREDIT, ENABLED, FINANCE, GUARD, NOON, compile_text, compiled, decide, finance_with

points = st.integers(0, 6000)
grants = st.integers(0, 3).map(lambda level: Control(halted=False, enabled=True, max_level=level))


def raw_deal(margin: int, discount: int) -> dict[str, object]:
    return {
        "deal_value": 12000,
        "base_margin_pct": Decimal(write_decimal(margin, 4)),
        "requested_discount_pct": Decimal(write_decimal(discount, 4)),
        "customer_tier": "A",
    }


def answer(raw: dict[str, object], control: Control) -> Result:
    typed = type_facts(compiled(FINANCE).document.actions["approve_discount"], raw)
    return evaluate(compiled(FINANCE), "approve_discount", typed.rules, {}, NOON, control)


def is_better(result: Result, than: Result) -> bool:
    acts = result.verdict == "approve" and result.effective
    return acts and (than.verdict != "approve" or not than.effective or result.level < than.level)


@given(points, points, grants)
def test_following_a_counterfactual_is_approved_or_needs_less_authority(margin: int, discount: int, control: Control) -> None:
    raw = raw_deal(margin, discount)
    result = answer(raw, control)
    if result.counterfactual is not None:
        ((fact, to),) = result.counterfactual.changes
        assert is_better(answer({**raw, fact: to}, control), result)


@given(points, points, grants)
@example(0, 0, Control(halted=False, enabled=True, max_level=2))
def test_no_nearer_value_of_that_fact_would_do(margin: int, discount: int, control: Control) -> None:
    raw = raw_deal(margin, discount)
    result = answer(raw, control)
    if result.counterfactual is None:
        return
    ((fact, to),) = result.counterfactual.changes
    now, then = int(Decimal(str(raw[fact])) * 10_000), int(Decimal(to) * 10_000)
    step = 1 if then > now else -1
    for nearer in {then - step, now + step, (now + then) // 2} - {then, now}:
        if min(now, then) < nearer < max(now, then):
            assert not is_better(answer({**raw, fact: write_decimal(nearer, 4)}, control), result)


@given(points, points, grants)
def test_where_one_fact_could_help_a_change_is_offered(margin: int, discount: int, control: Control) -> None:
    raw = raw_deal(margin, discount)
    result = answer(raw, control)
    if result.counterfactual is None:
        for edge in range(0, 10_001, 100):
            assert not is_better(answer({**raw, "requested_discount_pct": write_decimal(edge, 4)}, control), result)
            assert not is_better(answer({**raw, "base_margin_pct": write_decimal(edge, 4)}, control), result)


def test_from_nothing_the_nearest_approval_comes_before_the_narrowest() -> None:
    change = answer(raw_deal(0, 0), Control(halted=False, enabled=True, max_level=2)).counterfactual
    assert change is not None
    assert change.text == "23 points more base_margin_pct would act within broad guardrails (AL2)"


def test_the_narrowest_approval_has_nothing_to_gain() -> None:
    assert decide(compiled(FINANCE), requested_discount_pct=Decimal("0.05")).counterfactual is None


def test_nothing_is_offered_where_no_single_fact_helps() -> None:
    result = decide(compiled(FINANCE), requested_discount_pct=Decimal("0.2"), base_margin_pct=Decimal("0.21"))
    assert (result.verdict, result.counterfactual) == ("escalate", None)


def test_nothing_is_offered_while_halted_or_not_granted() -> None:
    assert decide(compiled(FINANCE), Control(True, True, 3)).counterfactual is None
    assert decide(compiled(FINANCE), Control(False, True, 0)).counterfactual is None


@pytest.mark.parametrize(
    ("amount", "moment", "text"),
    [
        (4_000_001, Moment(0, 2, 720), "0.01 EUR less amount_requested would act within large guardrails (AL3)"),
        (1_000_000, Moment(0, 2, 1320), "5,000 EUR less amount_requested would act within small guardrails (AL1)"),
        (1_600_000, Moment(0, 6, 720), "1,000 EUR less amount_requested would act within medium guardrails (AL2)"),
        (49_900, Moment(0, 2, 720), "1 EUR more amount_requested would act within small guardrails (AL1)"),
    ],
)
def test_the_words_name_amount_direction_and_level(amount: int, moment: Moment, text: str) -> None:
    result = evaluate(compiled(CREDIT), "accept_application", {"amount_requested": amount}, {}, moment, ENABLED)
    assert result.counterfactual is not None
    assert result.counterfactual.text == text


def test_a_word_and_a_yes_can_be_what_is_nearest() -> None:
    tier = compile_text(finance_with((GUARD, "\"facts.customer_tier != 'A'\"")))
    change = decide(tier, customer_tier="B").counterfactual
    assert change is not None
    assert change.changes == (("customer_tier", "A"),)
    assert change.text == "customer_tier A would act within broad guardrails (AL2)"


def test_a_feature_without_a_value_stops_only_the_search() -> None:
    text = finance_with(
        (GUARD, '"facts.requested_discount_pct > 3000"'),
        ("&inside \"facts.requested", "&inside \"memory.customer.discounts_30d < 3 && facts.requested"),
        ("customer.discounts_30d: {missing: 0}", "customer.discounts_30d: {}"),
    )  # fmt: skip
    result: Any = decide(compile_text(text), requested_discount_pct=Decimal("0.31"))
    assert (result.verdict, result.counterfactual) == ("deny", None)
