"""Where two versions differ: the regions leave nothing out, and each case is one that both versions answered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from precedent.policy.analyse.difference import Difference, semantic_difference
from precedent.policy.compile import CompiledPolicy
from precedent.policy.evaluate import Moment, evaluate
from precedent.policy.thresholds import Value
from tests.policy.shipped import CREDIT, ENABLED, FINANCE, NOON, compile_text, compiled, finance_with

TIGHTER = compile_text(finance_with(("max_discount: 0.12", "max_discount: 0.10")))


def difference(a: CompiledPolicy, b: CompiledPolicy, action: str = "approve_discount") -> Difference:
    return semantic_difference(a, b, action, timeout_seconds=20)


def verdict(policy: CompiledPolicy, facts: dict[str, Value], action: str, moment: Moment = NOON) -> tuple[str, int]:
    result = evaluate(policy, action, facts, {}, moment, ENABLED)
    return result.verdict, result.level


def test_a_version_does_not_differ_from_itself() -> None:
    for file, action in ((FINANCE, "approve_discount"), (CREDIT, "accept_application")):
        held = difference(compiled(file), compiled(file), action)
        assert list(held) == []
        assert held.is_complete


def test_a_moved_bound_is_one_region_with_its_case() -> None:
    held = difference(compiled(FINANCE), TIGHTER)
    assert held.is_complete
    (region,) = held
    assert region.description == "base_margin_pct at least 23 %, requested_discount_pct above 10 % and at most 12 %"
    assert [str(region.before), str(region.after)] == ["approve AL2 by broad", "approve AL3 by full"]
    assert 0.10 < float(region.witness.facts["requested_discount_pct"]) <= 0.12


def test_the_time_of_day_bounds_a_region() -> None:
    later = compile_text(CREDIT.read_text(encoding="utf-8").replace("local_minute < 420", "local_minute < 480"))
    held = difference(compiled(CREDIT), later, "accept_application")
    assert [region.description for region in held] == [
        "amount_requested above 5,000 EUR and at most 15,000 EUR, time of day at least 07:00 and below 08:00",
        "amount_requested above 15,000 EUR and at most 40,000 EUR, time of day at least 07:00 and below 08:00, weekday below Saturday",
    ]
    assert {str(region.after) for region in held} == {"escalate by night"}


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_nothing_outside_the_regions_differs(discount: int, margin: int) -> None:
    facts: dict[str, Value] = {"deal_value": 0, "base_margin_pct": margin, "requested_discount_pct": discount, "customer_tier": "A"}
    differs = verdict(compiled(FINANCE), facts, "approve_discount") != verdict(TIGHTER, facts, "approve_discount")
    assert differs == (margin >= 2300 and 1000 < discount <= 1200)


def test_a_name_that_means_something_else_is_said_and_not_compared() -> None:
    other = compile_text(finance_with(("{type: enum, values: [A, B, C]}", "{type: string}")))
    held = difference(compiled(FINANCE), other)
    assert list(held) == []
    assert held.open == ("facts.customer_tier means something else in the other version: the two can't be compared",)


def test_what_is_not_translated_leaves_the_difference_open() -> None:
    changes = (
        ("{type: enum, values: [A, B, C]}", "{type: string}"),
        ('when: "facts.req', "when: \"facts.customer_tier.matches('^A') && facts.req"),
    )
    one, other = (compile_text(finance_with(*changes, *more)) for more in ((), (("max_discount: 0.12", "max_discount: 0.10"),)))
    held = difference(one, other)
    assert not held.is_complete
    assert "matches a pattern with text of any kind" in held.open[0]


def test_an_action_that_one_version_lacks_is_said() -> None:
    assert difference(compiled(FINANCE), compiled(CREDIT)).open == ("credit-constitution@1.0.0 has no action 'approve_discount'",)
