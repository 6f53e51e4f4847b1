from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from precedent.cli.policy import app
from precedent.errors import PolicyInvalid
from precedent.policy.document import load_document
from precedent.policy.files import find_policies, suite_beside
from precedent.policy.lint import lint, lint_text
from precedent.policy.suite import load_suite, run_suite
from precedent.settings import project_root
from tests.policy.shipped import CREDIT, FINANCE, GUARD, POLICIES, compile_text, compiled, finance_with

HEAD = "policy: finance-constitution@1.0.0\nnow: 2026-11-17T12:00:00Z\n"
FACTS = "facts: {deal_value: 1, base_margin_pct: 0.31, requested_discount_pct: 0.08, customer_tier: A}\n"
ONE = f"{HEAD}{FACTS}cases: [{{name: one, expect: {{verdict: approve}}}}]\n"


@pytest.mark.parametrize("file", find_policies([POLICIES]), ids=lambda file: file.stem)
def test_every_shipped_policy_passes_its_suite_and_is_wholly_covered(file: Path) -> None:
    beside = suite_beside(file)
    report = run_suite(compiled(file), beside.read_text(encoding="utf-8"), beside.name)
    assert [(case.name, case.faults) for case in report.failed] == []
    assert report.coverage.missing() == []
    assert report.is_passed


@pytest.mark.parametrize("file", find_policies([POLICIES]), ids=lambda file: file.stem)
def test_no_shipped_policy_has_a_lint_error(file: Path) -> None:
    problems = lint(compiled(file).document, load_suite(suite_beside(file).read_text(encoding="utf-8"), "x"))
    assert [problem for problem in problems if problem.severity == "error" or problem.code == "UNTESTED_FACT"] == []


def test_policies_are_found_once_and_neither_suites_nor_schemas() -> None:
    found = find_policies([POLICIES, FINANCE])
    assert {CREDIT, FINANCE} < set(found)
    assert len(found) == len(set(found)) == sum(not path.stem.endswith("_test") for path in POLICIES.glob("[!_]*/*.yaml"))


def test_a_case_that_came_out_otherwise_is_told() -> None:
    suite = ONE.replace("{verdict: approve}", "{verdict: deny, level: AL2, rule: tight, counterfactual: null}")
    (case,) = run_suite(compiled(FINANCE), suite, "x").cases
    assert case.line == 4
    assert case.faults == (
        "verdict: expected deny, came approve",
        "rule: expected tight, came broad",
        "counterfactual: expected None, came 3 points less requested_discount_pct would act within tight guardrails (AL1)",
    )


def test_an_expected_refusal_that_does_not_come_fails() -> None:
    (case,) = run_suite(compiled(FINANCE), ONE.replace("{verdict: approve}", "{refused: NOT_ON_GRID}"), "x").cases
    assert case.faults == ("refused: expected NOT_ON_GRID, came None",)
    (case,) = run_suite(compiled(FINANCE), ONE.replace("0.08", "0.08001"), "x").cases
    assert case.faults[0].startswith("the facts were refused: NOT_ON_GRID /facts/requested_discount_pct")


def test_coverage_counts_rules_and_each_way_of_each_atom() -> None:
    report = run_suite(compiled(FINANCE), ONE, "x")
    assert (report.coverage.rules_percent, report.coverage.conditions_percent) == (20, 35)
    assert not report.is_passed
    assert run_suite(compiled(FINANCE), ONE + "threshold: 20\n", "x").is_passed
    assert not run_suite(compiled(FINANCE), ONE + "threshold: 21\n", "x").is_passed
    assert "approve_discount/tight decides no case" in report.coverage.missing()
    assert "approve_discount/below_cost: facts.requested_discount_pct > facts.base_margin_pct is never true" in report.coverage.missing()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ONE.replace("@1.0.0", "@1.0.1"), "WRONG_POLICY"),
        (ONE.replace("now: 2026-11-17T12:00:00Z\n", ""), "NOW"),
        (ONE.replace("2026-11-17T12:00:00Z", "yesterday"), "NOW"),
        (ONE + "action: approve_refund\n", "ACTION"),
        (ONE + "memory: {customer.discount_30d: 1}\n", "UNKNOWN_NAME"),
        (ONE.replace("expect: {verdict: approve}", "expect: {}"), "BAD_VALUE"),
        (ONE.replace("verdict: approve", "verdict: aprove"), "NOT_ALLOWED"),
    ],
)
def test_a_suite_that_is_none_is_refused(text: str, code: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        run_suite(compiled(FINANCE), text, "x")
    assert refused.value.problems[0].code == code


def test_lint_warns_of_what_no_rule_reads_and_no_case_gives() -> None:
    problems = lint(load_document(finance_with((GUARD, '"memory.customer.discounts_30d > 9"'))), load_suite(ONE, "x"))
    assert {problem.severity for problem in problems} == {"warning"}
    assert [(problem.code, problem.line) for problem in problems] == [
        ("UNUSED_FACT", 11), ("UNUSED_FACT", 14), ("UNTESTED_FACT", 15), ("UNTESTED_FACT", 16), ("UNUSED_FEATURE", 18),
    ]  # fmt: skip


def test_lint_of_a_text_tells_errors_instead_of_raising() -> None:
    assert [problem.code for problem in lint_text("a: 1\na: 2\n", "x")] == ["DUPLICATE_KEY"]
    assert [problem.code for problem in lint_text(finance_with((GUARD, '"facts.nothing"')), "x")] == ["UNKNOWN_NAME"]


def test_the_commands_pass_on_what_ships() -> None:
    for command in ("lint", "test"):
        run = CliRunner().invoke(app, [command, str(POLICIES)])
        assert run.exit_code == 0, run.output


def test_the_commands_fail_on_errors_failures_low_coverage_and_missing_suites(tmp_path: Path) -> None:
    policy, suite = tmp_path / "p-1.0.0.yaml", tmp_path / "p-1.0.0_test.yaml"
    policy.write_text(finance_with((GUARD, '"facts.nothing > 1"')), encoding="utf-8")
    run = CliRunner().invoke(app, ["lint", str(policy)])
    assert run.exit_code == 1
    assert f"{policy}:21:16: error UNKNOWN_NAME" in run.output
    policy.write_text(FINANCE.read_text(encoding="utf-8"), encoding="utf-8")
    assert "NO_SUITE" in CliRunner().invoke(app, ["lint", str(policy)]).output
    assert CliRunner().invoke(app, ["test", str(policy)]).exit_code == 1
    suite.write_text(ONE + "threshold: 90\n", encoding="utf-8")
    assert CliRunner().invoke(app, ["test", str(tmp_path)]).exit_code == 1
    suite.write_text(ONE.replace("approve", "deny") + "threshold: 0\n", encoding="utf-8")
    run = CliRunner().invoke(app, ["test", str(tmp_path)])
    assert run.exit_code == 1
    assert f"{suite}:4: one: verdict: expected deny, came approve" in run.output
    suite.write_text(ONE + "threshold: 20\n", encoding="utf-8")
    assert CliRunner().invoke(app, ["test", str(tmp_path)]).exit_code == 0
    policy.write_bytes(b"\xff\xfe")
    assert "NOT_UTF8" in CliRunner().invoke(app, ["lint", str(policy)]).output


def test_the_policys_own_threshold_goes_before_the_suites() -> None:
    asks = compile_text(finance_with(("owner: cfo", "owner: cfo\ncoverage: 21")))
    assert not run_suite(asks, ONE + "threshold: 0\n", "x").is_passed
    content = compile_text(finance_with(("owner: cfo", "owner: cfo\ncoverage: 20")))
    assert run_suite(content, ONE + "threshold: 100\n", "x").is_passed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policy whose suite has one case that passes, one that fails, and too few of them."""
    (tmp_path / "p-1.0.0.yaml").write_text(FINANCE.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "p-1.0.0_test.yaml").write_text(TWO, encoding="utf-8")
    return tmp_path


TWO = ONE.replace("cases: [", "cases: [{name: two & <more>, expect: {verdict: deny}}, ")


def test_junit_holds_every_case_the_coverage_and_what_could_not_be_tested(folder: Path) -> None:
    (folder / "q-1.0.0.yaml").write_text("policy: q\n", encoding="utf-8")
    run = CliRunner().invoke(app, ["test", str(folder), "--junit", str(folder / "out.xml")])
    assert run.exit_code == 1
    tested, *broken = ET.parse(folder / "out.xml").getroot()
    assert {key: tested.attrib[key] for key in ("tests", "failures", "errors")} == {"tests": "3", "failures": "2", "errors": "0"}
    cases = {case.attrib["name"]: case for case in tested}
    assert list(cases) == ["two & <more>", "one", "coverage"]
    assert cases["two & <more>"].attrib["line"] == "4"
    assert [fault.text for fault in cases["two & <more>"]] == ["verdict: expected deny, came approve"]
    assert list(cases["one"]) == []
    assert cases["coverage"][0].attrib["message"] == "rules 20 %, conditions 35 %, at least 100 % wanted"
    assert [(suite.attrib["errors"], suite[0][0].attrib["type"]) for suite in broken] == [("1", "MISSING_KEY")]


def test_pytest_collects_each_case_and_the_coverage(folder: Path) -> None:
    (folder / "conftest.py").write_text((POLICIES / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "--rootdir", str(folder), "-c", os.devnull, str(folder)]
    run = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "p-1.0.0_test.yaml::one PASSED" in run.stdout
    assert "p-1.0.0_test.yaml::coverage FAILED" in run.stdout
    assert "p-1.0.0_test.yaml:4: verdict: expected deny, came approve" in run.stdout
    assert "approve_discount/tight decides no case" in run.stdout
    assert "assert " not in run.stdout


def test_watching_runs_again_when_a_file_changes_and_ends_at_ctrl_c(folder: Path) -> None:
    command = [sys.executable, "-m", "precedent.cli.main", "policy", "test", str(folder), "--watch"]
    with subprocess.Popen(command, cwd=project_root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        limit = Timer(60, process.kill)
        limit.start()
        try:
            lines = iter(process.stdout or ())
            assert "FAILED" in until(lines, "watching: Ctrl-C")
            suite = folder / "p-1.0.0_test.yaml"
            suite.write_text(ONE + "threshold: 20\n", encoding="utf-8")
            while "passed" not in until(lines, "watching: Ctrl-C"):
                pass  # a file that is half written is told as it is, and looked at again
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            limit.cancel()
            process.kill()


def until(lines: Iterator[str], word: str) -> str:
    """What is printed up to the line that holds `word`."""
    said = ""
    for line in lines:
        said += line
        if word in line:
            return said
    raise AssertionError(f"ended without '{word}': {said}")
