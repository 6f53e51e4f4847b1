"""Findings on policies made for them: each code with its place and its case, and never more than can be answered for."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precedent.policy.analyse.analysis import analyse
from precedent.policy.analyse.findings import Finding, Report
from precedent.policy.evaluate import Moment, evaluate
from precedent.policy.result import Control
from precedent.policy.suite import load_suite
from tests.policy.analyse.large import large_policy
from tests.policy.shipped import CREDIT, ENABLED, FINANCE, GUARD, compile_text, compiled, finance_with

HEAD = """
policy: trial
version: 1.0.0
node: trial
owner: me
actions:
  try:
    facts:
      n: {type: int, min: -100, max: 100}
      m: {type: int}
      share: {type: ratio, min: 0, max: 1}
      paid: {type: money, currency: EUR, min: 0}
      word: {type: string}
      customer: {type: string, entity: customer, personal: pseudonym, optional: true}
      yes: {type: bool}
      tier: {type: enum, values: [A, B]}
"""


def trial(rules: str, invariants: str = "", memory: str = "") -> Report:
    text = HEAD + (f"    memory: {{features: {{{memory}}}}}\n" if memory else "") + rules
    return analyse(compile_text(text + (f"invariants:\n{invariants}" if invariants else "")), timeout_seconds=20)


def bands(*conditions: str, guards: tuple[str, ...] = ()) -> str:
    def lines(kind: str, more: str, held: tuple[str, ...]) -> list[str]:
        return [
            f'      - {{name: {kind}{place}, {more.format(place=place + 1)}, reason: BY_RULE, when: "{when}"}}'
            for place, when in enumerate(held)
        ]

    text = ["    guards:", *lines("guard", "verdict: deny", guards)] if guards else []
    text += ["    bands:", *lines("band", "level: AL{place}", conditions)] if conditions else []
    return "\n".join([*text, "    otherwise: {verdict: escalate, reason: NOTHING_HOLDS}", ""])


def found(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


def test_a_rule_that_never_holds_is_found_at_its_place() -> None:
    report = trial(bands("facts.n > 100", "facts.share >= 0 && facts.tier == 'A' && facts.tier == 'B'"))
    assert [(finding.line, finding.message.split(" never holds")[0]) for finding in found(report, "UNREACHABLE")] == [
        (18, "'band0'"),
        (19, "'band1'"),
    ]
    assert report.exit_code == 1


def test_a_rule_that_others_always_forestall_is_found_with_them_and_a_case() -> None:
    report = trial(bands("facts.n > 0", "facts.n <= 0 && facts.yes", "facts.n == 7 || facts.n == -7 && facts.yes", guards=("facts.m > 5",)))
    (shadowed,) = found(report, "SHADOWED")
    assert shadowed.message == "'band2' never decides: 'band0' and 'band1', which come first, cover it"
    assert shadowed.cases[0].facts["n"] in {7, -7}
    assert shadowed.cases[0].answer.rule in {"band0", "band1"}


def test_a_rule_behind_one_that_always_holds_is_shadowed_by_that_alone() -> None:
    (shadowed,) = found(trial(bands("facts.n > 3", "true", "facts.yes")), "SHADOWED")
    assert shadowed.message == "'band2' never decides: 'band1', which comes first, covers it"


def test_a_narrow_band_before_a_wide_one_is_told_and_a_wide_one_before_a_narrow_one_is_warned_of() -> None:
    nested = found(trial(bands("facts.n > 50", "facts.n > 20")), "OVERLAP")
    assert [(one.severity, one.region) for one in nested] == [("info", "n above 50")]
    text = bands("facts.n > 50", "facts.n > 20").replace("AL1", "AL3")
    (wide,) = found(trial(text), "OVERLAP")
    assert wide.severity == "warning"
    assert wide.message == "'band0' (AL3) comes first and acts with more authority than 'band1' (AL2), where they hold too"
    assert (wide.cases[0].answer.rule, wide.cases[0].answer.level) == ("band0", 3)


def test_bands_that_never_meet_overlap_nowhere() -> None:
    assert not found(trial(bands("facts.n > 50", "facts.n < 50")), "OVERLAP")


def test_what_no_rule_covers_is_told_by_regions() -> None:
    report = trial(bands("facts.n > 50", "facts.n < 50"))
    (gap,) = found(report, "GAP")
    assert (gap.severity, gap.region, gap.cases[0].facts["n"], gap.cases[0].answer.rule) == (
        "info",
        "n is 50",
        50,
        "otherwise",
    )
    assert report.exit_code == 0


def test_rules_that_cover_everything_are_proved_to() -> None:
    report = trial(bands("facts.n > 50", "facts.n <= 50"))
    assert not found(report, "GAP")
    assert report.proved == ("complete (try): guards and bands leave nothing to `otherwise`",)


def test_a_policy_claims_to_be_complete_by_an_invariant() -> None:
    claim = "  - {name: every request has a rule, never: \"rule == 'otherwise'\"}\n"
    (refuted,) = found(trial(bands("facts.n > 50", "facts.n < 50"), claim), "REFUTED")
    assert refuted.cases[0].facts["n"] == 50
    assert "never (try): every request has a rule" in trial(bands("facts.n > 50", "facts.n <= 50"), claim).proved


def test_a_rule_that_an_invariant_misspells_proves_nothing() -> None:
    report = trial(bands("facts.n > 50"), "  - {name: never that, never: \"rule == 'bond0'\"}\n")
    (unknown,) = found(report, "UNKNOWN_RULE")
    assert unknown.severity == "error"
    assert not report.proved


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("facts.paid * facts.n * 1000 > 5", "OUT_OF_RANGE: integer overflow"),
        ("100 / facts.n > 5", "INVALID_ARGUMENT: divide by zero"),
        ("facts.n % facts.m == 0 && facts.yes", "INVALID_ARGUMENT: modulus by zero"),
    ],
)
def test_arithmetic_that_errs_is_warned_of_with_a_case_that_escalates(condition: str, why: str) -> None:
    (errs,) = found(trial(bands(condition)), "ERRS")
    assert errs.severity == "warning"
    assert why in errs.message
    assert (errs.cases[0].answer.verdict, errs.cases[0].answer.reason) == ("escalate", "RULE_ERROR")


def test_arithmetic_that_is_guarded_does_not_err() -> None:
    assert not found(trial(bands("facts.n != 0 && 100 / facts.n > 5")), "ERRS")
    assert not found(trial(bands("facts.n / 0 == 1 && false || facts.n > 3")), "ERRS")


def test_a_feature_without_a_value_for_its_absence_is_told_and_one_with_it_is_not() -> None:
    rules = bands("memory.customer.rate > 5 || facts.yes")
    (errs,) = found(trial(rules, memory="customer.rate: {}"), "ERRS")
    assert (errs.severity, errs.cases[0].memory) == ("info", {})
    assert not found(trial(rules, memory="customer.rate: {missing: 0}"), "ERRS")


def test_an_invariant_that_cannot_be_evaluated_is_not_proved() -> None:
    rules = bands("memory.customer.rate > 5")
    acting = '  - {name: no action without a rate, never: "effective && memory.customer.rate <= 5"}\n'
    waiting = "  - {name: a low rate waits, never: \"verdict == 'escalate' && memory.customer.rate > 5\"}\n"
    for memory in ("customer.rate: {missing: 0}", "customer.rate: {}"):
        assert "never (try): no action without a rate" in trial(rules, acting, memory).proved
    assert trial(rules, waiting, "customer.rate: {missing: 0}").proved == ("never (try): a low rate waits",)
    (refuted,) = found(trial(rules, waiting, "customer.rate: {}"), "REFUTED")
    assert "it can't be evaluated" in refuted.message
    assert refuted.cases[0].memory == {}


@pytest.mark.parametrize(
    ("rules", "moved", "is_proved"),
    [
        (bands("facts.n <= 10", "facts.n <= 20"), "{fact: n, direction: down, keeps: level}", True),
        (bands("facts.n <= 10", "facts.n <= 20"), "{fact: n, direction: up, keeps: level}", False),
        (bands("facts.n <= 10 && facts.n > -50", "facts.n <= 20"), "{fact: n, direction: down, keeps: level}", False),
        (bands("facts.n <= 10", guards=("facts.n < -50",)), "{fact: n, direction: down, keeps: level}", True),
        (bands("facts.n <= 10", guards=("facts.n < -50",)), "{fact: n, direction: down, keeps: approval}", False),
        (bands("facts.n <= 10 || facts.yes"), "{fact: yes, direction: up, keeps: approval}", True),
        (bands("facts.n <= 10 || !facts.yes"), "{fact: yes, direction: up, keeps: approval}", False),
        (bands("facts.n <= 10"), "{fact: customer, direction: up, keeps: approval}", True),
        (bands("facts.share <= 5000 && 100 / facts.n >= 0"), "{fact: n, direction: down, keeps: level}", False),
    ],
)
def test_what_moving_a_fact_keeps_is_proved_or_refuted_by_two_cases(rules: str, moved: str, is_proved: bool) -> None:
    report = trial(rules, f"  - {{name: it stays, monotone: {moved}}}\n")
    assert ("monotone (try): it stays" in report.proved) == is_proved
    refuted = found(report, "REFUTED")
    assert len(refuted) == (not is_proved)
    for finding in refuted:
        before, after = finding.cases
        assert {name for name in before.facts if before.facts[name] != after.facts[name]} == {moved[7:].split(",")[0]}


def test_a_fact_without_an_order_is_not_analysable() -> None:
    report = trial(bands("facts.tier == 'A'"), "  - {name: it stays, monotone: {fact: tier, direction: up, keeps: level}}\n")
    assert [finding.message for finding in found(report, "NOT_ANALYSABLE")] == ["'it stays': tier has no order to move in"]
    assert (report.exit_code, report.proved) == (2, ())


def test_what_is_not_translated_is_named_at_its_place_and_leaves_the_policy_open() -> None:
    report = trial(bands("facts.n > 3 && facts.word.matches('^a+$')"))
    (opened,) = found(report, "NOT_ANALYSABLE")
    assert (opened.line, opened.column) == (18, 74)
    assert opened.message == "'band0': matches a pattern with text of any kind: facts.word.matches('^a+$')"
    assert report.exit_code == 2


def test_a_proof_around_what_is_not_translated_still_holds() -> None:
    claim = "  - {name: small stays small, never: \"verdict == 'approve' && facts.n <= 3\"}\n"
    report = trial(bands("facts.n > 3 && facts.word.matches('^a+$')"), claim)
    assert "never (try): small stays small" in report.proved
    assert report.exit_code == 2


def test_a_case_that_the_evaluator_does_not_confirm_is_open_and_no_finding() -> None:
    claim = "  - {name: no pattern is both, never: \"verdict == 'approve'\"}\n"
    report = trial(bands("facts.word.matches('^a$') && size(facts.word) == 2"), claim)
    assert not found(report, "REFUTED")
    assert {finding.severity for finding in report.findings if finding.code == "NOT_CONFIRMED"} == {"open"}
    assert not [proof for proof in report.proved if proof.startswith("never")]


def test_a_question_without_an_answer_in_its_time_is_open() -> None:
    hard = "facts.m * facts.m * facts.m + facts.paid * facts.paid * facts.paid == 114 * facts.m * facts.paid + 7"
    report = analyse(compile_text(HEAD + bands(hard)), timeout_seconds=0.02)
    assert {finding.code for finding in report.findings} >= {"UNKNOWN"}
    assert report.exit_code == 2


def test_the_grant_that_is_assumed_may_be_lower() -> None:
    claim = '  - {name: AL2 never acts, never: "effective && level == 2"}\n'
    policy = compile_text(HEAD + bands("facts.n <= 10", "facts.n <= 20") + "invariants:\n" + claim)
    assert analyse(policy).exit_code == 1
    assert analyse(policy, control=Control(halted=False, enabled=True, max_level=1)).proved == ("never (try): AL2 never acts",)


def test_cases_look_like_the_suite_where_they_may() -> None:
    beside = FINANCE.with_name(f"{FINANCE.stem}_test.yaml")
    report = analyse(compiled(FINANCE), load_suite(beside.read_text(encoding="utf-8"), str(beside)))
    for finding in report.findings:
        assert finding.cases[0].facts["deal_value"] == "12000.00"
        assert finding.cases[0].facts["customer_tier"] == "A"


def test_every_invariant_of_the_credit_policy_is_proved() -> None:
    report = analyse(compiled(CREDIT))
    assert report.exit_code == 0
    assert report.proved == (
        "monotone (accept_application): a smaller amount never needs more authority",
        "never (accept_application): nothing acts alone beyond 40,000 EUR",
    )


def test_the_finance_policy_has_the_one_finding_that_its_readme_tells() -> None:
    """Its second invariant says `effective`, and a denial takes effect too; published, it doesn't change."""
    report = analyse(compiled(FINANCE))
    (refuted,) = [finding for finding in report.findings if finding.severity != "info"]
    assert (refuted.code, refuted.cases[0].answer.verdict, refuted.cases[0].answer.effective) == ("REFUTED", "deny", True)
    assert report.proved == ("monotone (approve_discount): a smaller discount never needs more authority",)
    meant = finance_with(("effective && facts.req", "effective && verdict == 'approve' && facts.req"))
    assert analyse(compile_text(meant)).exit_code == 0


def test_a_guard_that_is_taken_away_is_noticed_by_an_invariant() -> None:
    claim = (
        'never: "effective && facts.req',
        "never: \"verdict == 'approve' && facts.requested_discount_pct > facts.base_margin_pct || effective && facts.req",
    )
    assert found(analyse(compile_text(finance_with(claim, (GUARD, '"false"')))), "UNREACHABLE")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["<", "<=", ">", ">=", "==", "!="])), min_size=1, max_size=4))
def test_what_is_found_of_small_policies_is_what_trying_every_input_finds(rules: list[tuple[int, str]]) -> None:
    conditions = [f"facts.n {op} {bound}" for bound, op in rules]
    text = (HEAD + bands(*conditions[:3])).replace("min: -100, max: 100", "min: -4, max: 4")
    policy = compile_text(text)
    usual = {"m": 0, "share": 0, "paid": 0, "word": "", "yes": False, "tier": "A"}
    deciders = {evaluate(policy, "try", {**usual, "n": n}, {}, Moment(0, 4, 0), ENABLED).rule for n in range(-4, 5)}
    report = analyse(policy)
    idle = {finding.message.split("'")[1] for finding in report.findings if finding.code in {"SHADOWED", "UNREACHABLE"}}
    assert idle == {f"band{place}" for place in range(len(conditions[:3]))} - deciders
    assert bool(found(report, "GAP")) == ("otherwise" in deciders)


@pytest.mark.long
def test_sixty_rules_are_analysed_in_ten_seconds() -> None:
    policy = compile_text(large_policy(60))
    began = perf_counter()
    report = analyse(policy)
    assert perf_counter() - began <= 10
    assert (report.exit_code, len(report.proved)) == (0, 2)
