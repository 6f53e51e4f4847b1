"""Cases written into a suite: every other byte stays, each case passes, and the second time nothing is added."""

from __future__ import annotations

import pytest

from precedent.errors import PolicyInvalid
from precedent.policy.analyse.analysis import analyse
from precedent.policy.analyse.suite_text import with_cases
from precedent.policy.compile import CompiledPolicy
from precedent.policy.suite import load_suite, run_suite
from tests.policy.shipped import CREDIT, FINANCE, compile_text, compiled, finance_with


def suite_of(file: object = FINANCE) -> str:
    assert file in (FINANCE, CREDIT)
    path = FINANCE if file == FINANCE else CREDIT
    return path.with_name(f"{path.stem}_test.yaml").read_text(encoding="utf-8")


def written(policy: CompiledPolicy, text: str | None) -> tuple[str, int]:
    suite = load_suite(text, "suite.yaml") if text is not None else None
    return with_cases(policy, text, "suite.yaml", analyse(policy, suite).findings)


@pytest.mark.parametrize("file", [FINANCE, CREDIT])
def test_cases_go_to_the_end_and_every_other_byte_stays(file: object) -> None:
    policy, before = compiled(FINANCE if file == FINANCE else CREDIT), suite_of(file)
    after, added = written(policy, before)
    assert added >= 3
    assert after.startswith(before.rstrip("\n") + "\n  # found by precedent policy analyse\n  - {name: ")
    report = run_suite(policy, after, "suite.yaml")
    assert report.is_passed
    assert len(report.cases) == len(load_suite(before, "suite.yaml").plain["cases"]) + added


def test_a_second_time_adds_nothing() -> None:
    policy = compiled(FINANCE)
    findings = analyse(policy).findings
    after, added = with_cases(policy, suite_of(), "suite.yaml", findings)
    assert added == len(findings)
    assert with_cases(policy, after, "suite.yaml", findings) == (after, 0)


def test_a_suite_is_made_where_there_is_none() -> None:
    after, added = written(compiled(FINANCE), None)
    assert after.startswith("# yaml-language-server: $schema=../_schemas/suite.v1.json\npolicy: finance-constitution@1.0.0\ncases:\n")
    assert not run_suite(compiled(FINANCE), after, "suite.yaml").failed
    assert added == len(load_suite(after, "suite.yaml").plain["cases"])


def test_keys_and_comments_after_the_list_stay_after_it() -> None:
    text = suite_of().replace("threshold: 100\n", "") + "\n# how much must be reached\nthreshold: 90\n"
    after, _ = written(compiled(FINANCE), text)
    assert after.endswith("}}\n\n# how much must be reached\nthreshold: 90\n")
    assert load_suite(after, "suite.yaml").plain["threshold"] == 90


def test_windows_line_ends_stay() -> None:
    after, added = written(compiled(FINANCE), suite_of().replace("\n", "\r\n"))
    assert added
    assert after.count("\n") == after.count("\r\n")


def test_a_case_takes_back_what_the_suite_gives_to_all() -> None:
    text = suite_of().replace("customer_tier: A}\ncases", "customer_tier: A, note: hello}\nmemory: {customer.discounts_30d: 3}\ncases")
    assert "note: hello" in text
    after, _ = written(compiled(FINANCE), text)
    assert "without: [note], memory: {customer.discounts_30d: 0}" in after


def test_both_sides_of_a_move_are_written() -> None:
    policy = compile_text(
        finance_with(
            ("{max_discount: 0.05, min_margin: 0.25}", "{max_discount: 0.14, min_margin: 0.25}"),
            ("level: AL1", "level: AL3"),
            ("level: AL3\n        with: {max_discount: 0.15", "level: AL1\n        with: {max_discount: 0.15"),
        )
    )
    after, _ = written(policy, None)
    assert ', before"' in after
    assert ', after"' in after


def test_a_list_that_is_not_written_line_by_line_is_refused() -> None:
    text = "policy: finance-constitution@1.0.0\ncases: [{name: a, now: 2026-11-17T12:00:00Z, facts: {}, expect: {refused: MISSING_FACT}}]\n"
    with pytest.raises(PolicyInvalid, match="line by line"):
        written(compiled(FINANCE), text)
