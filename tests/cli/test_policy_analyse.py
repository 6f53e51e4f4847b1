"""`precedent policy analyse` as a person or a pipeline uses it: what it prints, writes, and ends with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from click.testing import Result
from typer.testing import CliRunner

from precedent.cli.policy import app
from precedent.errors import SolverMissing
from precedent.policy.files import run_suite_beside
from precedent.settings import project_root

POLICIES = project_root() / "policies"
CREDIT = POLICIES / "credit/credit-constitution-1.0.0.yaml"
FINANCE = POLICIES / "finance/finance-constitution-1.0.0.yaml"


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, ["analyse", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def changed(folder: Path, source: Path, *changes: tuple[str, str]) -> Path:
    text = source.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / source.name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_policy_whose_invariants_are_proved_ends_with_0() -> None:
    result = run(CREDIT)
    assert result.exit_code == 0
    assert f"{CREDIT}: proved: never (accept_application): nothing acts alone beyond 40,000 EUR" in result.output
    assert result.output.endswith("credit-constitution@1.0.0: 0 error, 0 open, 0 warning, 3 info, 2 proved\n")


def test_a_finding_ends_with_1_and_shows_its_case_in_the_facts_own_units() -> None:
    result = run(FINANCE)
    assert result.exit_code == 1
    assert (
        "error REFUTED: approve_discount: 'nothing acts alone beyond 15 %' is refuted: it is so where 'below_cost' decides" in result.output
    )
    assert "case   deal_value 12000.00, base_margin_pct 0.31, requested_discount_pct 0." in result.output


def test_what_is_left_open_ends_with_2(tmp_path: Path) -> None:
    opened = changed(
        tmp_path, CREDIT, ("min: 0}", "min: 0}\n      place: {type: string}"), ("weekday >= 6 &&", "facts.place.matches('^A') &&")
    )
    result = run(opened)
    assert result.exit_code == 2
    assert "open NOT_ANALYSABLE: accept_application: 'weekend': matches a pattern with text of any kind" in result.output


def test_the_worst_of_several_policies_counts(tmp_path: Path) -> None:
    opened = changed(
        tmp_path, CREDIT, ("min: 0}", "min: 0}\n      place: {type: string}"), ("weekday >= 6 &&", "facts.place.matches('^A') &&")
    )
    assert run(opened, FINANCE).exit_code == 1
    assert run(opened, CREDIT).exit_code == 2


def test_as_json_it_is_one_document() -> None:
    result = run(CREDIT, FINANCE, "--json")
    one, other = orjson.loads(result.stdout)
    assert (one["policy"], one["exit_code"], other["policy"], other["exit_code"]) == (
        "credit-constitution@1.0.0", 0, "finance-constitution@1.0.0", 1,
    )  # fmt: skip
    refuted = next(finding for finding in other["findings"] if finding["severity"] == "error")
    assert (refuted["code"], refuted["line"], refuted["cases"][0]["answer"]["rule"]) == ("REFUTED", 62, "below_cost")
    assert refuted["cases"][0]["facts"]["deal_value"] == "12000.00"


def test_cases_are_written_into_the_suite_which_then_passes(tmp_path: Path) -> None:
    shutil.copy(CREDIT.with_name(f"{CREDIT.stem}_test.yaml"), tmp_path)
    policy = changed(tmp_path, CREDIT)
    before = len(run_suite_beside(policy).cases)
    result = run(policy, "--write-tests")
    assert f"{policy.stem}_test.yaml: 3 cases added" in result.output.replace("\n", " ")
    report = run_suite_beside(policy)
    assert (report.is_passed, len(report.cases)) == (True, before + 3)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [policy.name, f"{policy.stem}_test.yaml"]


def test_two_versions_are_compared_by_regions(tmp_path: Path) -> None:
    newer = changed(tmp_path, FINANCE, ("max_discount: 0.12", "max_discount: 0.10"), ("version: 1.0.0", "version: 1.0.1"))
    result = run(newer, "--against", FINANCE)
    assert result.exit_code == 1
    assert result.output.splitlines()[:2] == [
        "approve_discount: approve AL2 by broad → approve AL3 by full",
        "    where  base_margin_pct at least 23 %, requested_discount_pct above 10 % and at most 12 %",
    ]
    assert result.output.endswith("approve_discount: one region, the same everywhere else\n")
    (action,) = orjson.loads(run(newer, "--against", FINANCE, "--json").stdout)["actions"]
    assert action["regions"][0]["after"] == {"verdict": "approve", "level": 3, "rule": "full", "reason": "WITHIN_FULL", "effective": True}
    same = run(FINANCE, "--against", FINANCE)
    assert (same.exit_code, same.output) == (0, "approve_discount: the same everywhere\n")


def test_of_each_policy_only_the_newest_version_may_be_asked_for(tmp_path: Path) -> None:
    first = changed(tmp_path, FINANCE)
    meant = ("effective && facts.req", "effective && verdict == 'approve' && facts.req")
    second = first.with_name("finance-constitution-1.10.0.yaml")
    first.rename(second)
    first = changed(tmp_path, FINANCE)
    second.write_text(second.read_text().replace("version: 1.0.0", "version: 1.10.0").replace(*meant))
    assert run(tmp_path).exit_code == 1
    result = run(tmp_path, "--newest")
    assert result.exit_code == 0
    assert "finance-constitution@1.10.0: 0 error" in result.output
    assert "1.0.0.yaml" not in result.output


def test_without_the_solver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    with pytest.raises(SolverMissing, match=r"pip install 'precedent\[analyse\]'"):
        run(CREDIT)


def test_the_process_that_decides_never_loads_the_solver() -> None:
    script = "import sys, api.app, precedent.decide; sys.exit([name for name in sys.modules if name == 'z3' or '.analyse' in name] != [])"
    assert subprocess.run([sys.executable, "-c", script], cwd=project_root(), check=False).returncode == 0
