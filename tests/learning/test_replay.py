"""Deriving a decision again, and trying a candidate on it: pure, on entries that were drafted as decisions are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from replaying import NOVEMBER_US, deals, decision_of

from precedent.learning.candidate import Candidate, NotDecidable
from precedent.learning.flips import Standing, Tally, bucket_of
from precedent.learning.money import money_rows, money_words
from precedent.learning.replay import Fault, Recorded, check, derive, differing, read_recorded, result_bytes
from precedent.learning.segments import segment_rows
from precedent.ledger.entry import Draft, Section
from precedent.policy.compile import CompiledPolicy
from precedent.policy.evaluate import Control
from precedent.policy.model import Fact
from tests.policy.shipped import DEAL, FINANCE, compile_text, compiled, finance_with

TIER = "      customer_tier:          {type: enum, values: [A, B, C]}\n"
FEATURES = "features: {customer.discounts_30d: {missing: 0}, customer.win_rate_90d: {missing: 5000}}"
ACTION = "approve_discount"


def recorded(draft: Draft, seq: int = 7) -> Recorded:
    stored = {section.section_id: section.stored for section in draft.sections}
    return read_recorded(seq, draft.entry_id.bytes, stored[Section.CORE], stored[Section.FACTS], stored[Section.MEMORY])


def asked(raw: dict[str, Any] | None = None, policy: CompiledPolicy | None = None, **options: Any) -> Recorded:
    return recorded(decision_of(policy or compiled(FINANCE), ACTION, raw or DEAL, **options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"features": {"customer.discounts_30d": 7}},
        {"control": Control(halted=True, enabled=True, max_level=3)},
        {"control": Control(halted=False, enabled=False, max_level=3)},
        {"control": Control(halted=False, enabled=True, max_level=1)},
    ],
    ids=["approved", "with features", "halted", "not enabled", "above the grant"],
)
def test_what_was_recorded_gives_the_same_bytes(options: dict[str, Any]) -> None:
    one = asked(**options)
    assert check(compiled(FINANCE), one) is None
    assert result_bytes(derive(compiled(FINANCE), one)) == result_bytes(one.result)


def test_a_changed_result_is_named_with_its_paths() -> None:
    finding = check(compiled(FINANCE), asked(changed={"verdict": "deny", "reasons": [{"code": "WITHIN_BROAD", "text": "because"}]}))
    assert finding is not None
    assert (finding.seq, finding.fault) == (7, Fault.DIFFERS)
    assert set(finding.paths) == {"/result/verdict", "/result/reasons/0/text", "/result/reasons/1"}
    assert '/result/verdict is "deny", derived "approve"' in str(finding)


def test_a_difference_under_another_evaluator_is_told_apart() -> None:
    finding = check(compiled(FINANCE), asked(changed={"rule": "wide"}, evaluator="precedent/0"))
    assert finding is not None
    assert finding.fault is Fault.EVALUATOR_CHANGED
    assert "recorded by precedent/0" in finding.words
    assert check(compiled(FINANCE), asked(evaluator="precedent/0")) is None


def test_true_is_not_one_and_pointers_are_escaped() -> None:
    found = list(differing({"a/b": [True, 1], "c~": {}}, {"a/b": [1, 1, None], "c~": {}}, ""))
    assert [path for path, _, _ in found] == ["/a~1b/0", "/a~1b/2"]
    assert list(differing({"a": None}, {}, "")) != []


def test_the_same_policy_decides_the_same() -> None:
    policy = compiled(FINANCE)
    candidate = Candidate(policy)
    for raw in deals(200):
        one = asked(raw, features={"customer.discounts_30d": 3})
        assert result_bytes(candidate.decide(policy, one)) == result_bytes(one.result)


def test_a_candidate_decides_by_the_recorded_control_and_time() -> None:
    weekends = finance_with(("    bands:", '      - {name: weekend, when: "weekday >= 6", verdict: escalate, reason: WEEKEND}\n    bands:'))
    candidate = Candidate(compile_text(weekends))
    saturday_us = NOVEMBER_US - NOVEMBER_US % 86_400_000_000
    while asked(at_us=saturday_us).moment.weekday != 6:
        saturday_us += 86_400_000_000
    assert candidate.decide(compiled(FINANCE), asked(at_us=saturday_us))["rule"] == "weekend"
    halted = asked(at_us=saturday_us, control=Control(halted=True, enabled=True, max_level=3))
    assert candidate.decide(compiled(FINANCE), halted)["rule"] == "halted"
    # Late on Friday in UTC it is Saturday in Tokyo.
    tokyo = Candidate(compile_text(weekends.replace("time_zone: UTC", "time_zone: Asia/Tokyo")))
    late = asked(at_us=saturday_us - 3_600_000_000)
    assert candidate.decide(compiled(FINANCE), late)["rule"] == "broad"
    assert tokyo.decide(compiled(FINANCE), late)["rule"] == "weekend"


UNDECIDABLE: list[tuple[str, Sequence[tuple[str, str]], str]] = [
    ("a new fact", [(TIER, TIER + "      region: {type: enum, values: [EU, US]}\n")], "the fact region was not asked for"),
    ("a fact once personal", [("personal: true, optional: true", "optional: true")], "the fact note is recorded as personal"),
    ("another currency", [("currency: USD", "currency: EUR")], "the fact deal_value was recorded as money USD, not money EUR"),
    ("a narrower bound", [("USD, min: 0}", "USD, min: 0, max: 1000}")], "the value of deal_value would be refused"),
    ("a narrower enum", [("values: [A, B, C]", "values: [B, C]")], "the value of customer_tier would be refused"),
    (
        "a feature that was not looked up",
        [
            (FEATURES, "features: {customer.debt: {missing: 0}}"),
            ("    bands:", '      - {name: debt, when: "memory.customer.debt > 5", verdict: deny, reason: DEBT}\n    bands:'),
        ],
        "the feature customer.debt was not looked up",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in UNDECIDABLE], ids=[case[0] for case in UNDECIDABLE])
def test_what_was_not_recorded_is_not_guessed(changes: Sequence[tuple[str, str]], reason: str) -> None:
    candidate = Candidate(compile_text(finance_with(*changes)))
    with pytest.raises(NotDecidable, match=reason):
        candidate.decide(compiled(FINANCE), asked())


def test_a_default_stands_for_what_was_not_sent_and_a_fact_too_many_is_left_out() -> None:
    region = TIER + "      region: {type: enum, values: [EU, US], optional: true, default: EU}\n"
    guard = "    bands:", """      - {name: eu, when: "facts.region == 'EU'", verdict: deny, reason: EU}\n    bands:"""
    assert Candidate(compile_text(finance_with((TIER, region), guard))).decide(compiled(FINANCE), asked())["rule"] == "eu"
    fewer = Candidate(compile_text(finance_with((TIER, ""))))
    assert fewer.decide(compiled(FINANCE), asked())["rule"] == "broad"


def test_a_feature_that_no_rule_reads_is_not_needed() -> None:
    candidate = Candidate(compile_text(finance_with((FEATURES, "features: {customer.debt: {missing: 0}}"))))
    assert candidate.decide(compiled(FINANCE), asked())["rule"] == "broad"


# tallies


@pytest.mark.parametrize(
    ("value", "bucket"), [(0, 0), (7, 7), (99, 99), (100, 100), (123, 120), (98_765, 98_000), (-123, -130), ("A", "A"), (None, None)]
)
def test_a_bucket_has_two_leading_digits(value: Any, bucket: Any) -> None:
    assert bucket_of(Fact("x", "int" if isinstance(value, int) else "enum"), value) == bucket


def tally_of(ones: Sequence[Recorded], candidate: Candidate, limit: int = 5) -> Tally:
    tally = Tally(limit)
    action = candidate.policy.document.actions[ACTION]
    for one in ones:
        after = candidate.decide(compiled(FINANCE), one)
        tally.read += 1
        tally.compare(one, action, one.result, after, result_bytes(after) == result_bytes(one.result))
    tally.trim()
    return tally


def test_parts_of_a_tally_make_the_whole_in_any_order() -> None:
    candidate = Candidate(
        compile_text(finance_with(("max_discount: 0.15", "max_discount: 0.13"), ("min_margin: 0.23", "min_margin: 0.28")))
    )
    ones = [recorded(decision_of(compiled(FINANCE), ACTION, raw), seq) for seq, raw in enumerate(deals(600))]
    whole = tally_of(ones, candidate)
    merged = Tally(5)
    for start in (400, 0, 200):
        merged.merge(tally_of(ones[start : start + 200], candidate))
    assert merged == whole
    assert whole.flips > 10
    assert whole.flips + whole.reworded + whole.same == whole.decided == 600


def test_segments_cover_every_decision_once_and_bands_are_about_even() -> None:
    candidate = Candidate(compile_text(finance_with(("max_discount: 0.15", "max_discount: 0.13"))))
    tally = tally_of([asked(raw) for raw in deals(1000)], candidate)
    rows = segment_rows(tally, candidate.policy.document.actions)
    for fact in ("deal_value", "base_margin_pct", "requested_discount_pct", "customer_tier"):
        own = [row for row in rows if row.fact == fact]
        assert sum(row.cell.decided for row in own) == 1000
        assert sum(row.cell.flips for row in own) == tally.flips
        assert sum(row.cell.lost for row in own) == tally.flips  # 13 to 15 % need a person now
        assert all(100 < row.cell.decided < 400 for row in own), [row.words for row in own]
    assert {row.words for row in rows if row.fact == "customer_tier"} == {"A", "B", "C"}
    [first, *_, last] = [row.words for row in rows if row.fact == "deal_value"]
    assert first.startswith("under ")
    assert first.endswith(" USD")
    assert last.startswith("from ")


def test_a_value_that_many_share_is_one_band() -> None:
    candidate = Candidate(compiled(FINANCE))
    tally = tally_of([asked(DEAL | {"deal_value": 500}) for _ in range(20)], candidate)
    assert [row.words for row in segment_rows(tally, candidate.policy.document.actions) if row.fact == "deal_value"] == ["all"]


def test_money_is_of_those_that_flip_and_never_added_over_currencies() -> None:
    candidate = Candidate(compile_text(finance_with(("max_discount: 0.12", "max_discount: 0.05"))))
    ones = [asked(DEAL | {"deal_value": Decimal("1204.50")}), asked(DEAL | {"requested_discount_pct": Decimal("0.01")})]
    tally = tally_of(ones, candidate)
    [(move, moved)] = [(move, moved) for move, moved in tally.moves.items() if move[0] != move[1]]
    assert move == (Standing("approve", 2), Standing("approve", 3))
    assert money_words(moved.money) == "1,204.50 USD"
    two = {("fee", "EUR"): 100, ("amount", "USD"): 12_345}
    assert money_rows(two) == [
        {"fact": "amount", "currency": "USD", "amount": "123.45"},
        {"fact": "fee", "currency": "EUR", "amount": "1"},
    ]
    assert money_words(two) == "amount 123.45 USD, fee 1 EUR"


def test_of_the_differences_the_newest_flips_are_kept() -> None:
    candidate = Candidate(compile_text(finance_with(("max_discount: 0.12", "max_discount: 0.05"))))
    ones = [recorded(decision_of(compiled(FINANCE), ACTION, DEAL), seq) for seq in range(300)]
    kept = tally_of(ones, candidate).differences
    assert [difference.seq for difference in kept] == [299, 298, 297, 296, 295]
    assert all(difference.is_flip for difference in kept)
