"""`precedent policy …`: check documents, run the tests beside them, publish them; the rest is `policy_change`'s."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.cli import policy_change
from precedent.cli.policy_change import PRINCIPAL
from precedent.db.embedded import database_url
from precedent.errors import PolicyInvalid, Problem
from precedent.policy import registry
from precedent.policy.change import activate
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.lint import lint_text
from precedent.policy.suite import Suite, SuiteReport, load_suite, run_suite
from precedent.settings import load_settings

app = typer.Typer(help="Policies: lint, test, publish; activate, roll back, deactivate, withdraw; propose, approve.", no_args_is_help=True)
app.add_typer(policy_change.app)

Paths = Annotated[list[Path], typer.Argument(exists=True, help="policy files, or folders of them")]


@app.command()
def lint(paths: Paths) -> None:
    """Print every problem as file:line:column; exit 1 where one is an error."""
    problems = [problem for file in find_policies(paths) for problem in _lint_file(file)]
    for problem in problems:
        typer.echo(str(problem))
    errors = sum(problem.severity == "error" for problem in problems)
    typer.echo(f"{errors} errors, {len(problems) - errors} warnings")
    if errors:
        raise typer.Exit(1)


@app.command()
def test(paths: Paths) -> None:
    """Run the suite beside each policy; exit 1 where a case fails, coverage is under the threshold, or there is no suite."""
    reports: list[SuiteReport] = []
    problems: list[Problem] = []
    for file in find_policies(paths):
        try:
            reports.append(_test_file(file))
        except PolicyInvalid as refused:
            problems += refused.problems
    for problem in problems:
        typer.echo(str(problem))
    for report in reports:
        _print_failures(report)
    if reports:
        Console().print(_table(reports))
    if problems or not all(report.is_passed for report in reports):
        raise typer.Exit(1)


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    activated: Annotated[bool, typer.Option("--activate", help="also make it the version that its name means")] = False,
) -> None:
    """Run its suite, then store the version for ever; a failing suite publishes nothing."""
    report = _test_file(file)
    if not report.is_passed:
        _print_failures(report)
        raise typer.Exit(1)
    settings = load_settings()
    url = database_url(settings)
    published = registry.publish(url, settings, _read(file), str(file), PRINCIPAL)
    typer.echo(f"{published.ref} {'published' if published.is_new else 'was published before'}, digest {published.digest}")
    if activated:
        policy_change.tell(url, settings, activate(url, settings, published.ref, PRINCIPAL), f"{published.ref} is active")


def find_policies(paths: list[Path]) -> list[Path]:
    """The policy documents under the paths: YAML or JSON, without suites and schemas. A file that is named is always one."""
    return sorted(dict.fromkeys(file for path in paths for file in ([path] if path.is_file() else _walk(path))))


def suite_beside(file: Path) -> Path:
    """Where a policy's suite lies: `NAME-VERSION_test.yaml` beside it."""
    return file.with_name(f"{file.stem}_test.yaml")


def _walk(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        inside = file.relative_to(folder).parts
        if file.suffix in {".yaml", ".yml", ".json"} and not file.stem.endswith("_test") and "_schemas" not in inside:
            yield file


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PolicyInvalid([Problem("NOT_UTF8", "the file is not UTF-8", str(file), 1, 1)]) from error


def _lint_file(file: Path) -> list[Problem]:
    beside = suite_beside(file)
    suite: Suite | None = None
    problems: list[Problem] = []
    try:
        if beside.is_file():
            suite = load_suite(_read(beside), str(beside))
        else:
            problems.append(Problem("NO_SUITE", f"no tests: {beside.name} is missing", str(file), 1, 1, severity="warning"))
    except PolicyInvalid as refused:
        problems += refused.problems
    try:
        return lint_text(_read(file), str(file), suite) + problems
    except PolicyInvalid as refused:
        return [*refused.problems, *problems]


def _test_file(file: Path) -> SuiteReport:
    beside = suite_beside(file)
    compiled = compile_policy(load_document(_read(file), str(file)))
    if not beside.is_file():
        raise PolicyInvalid([Problem("NO_SUITE", f"no tests: {beside.name} is missing", str(file), 1, 1)])
    return run_suite(compiled, _read(beside), str(beside))


def _print_failures(report: SuiteReport) -> None:
    for case in report.failed:
        for fault in case.faults:
            typer.echo(f"{report.file}:{case.line}: {case.name}: {fault}")
    if not report.is_passed:
        for missing in report.coverage.missing():
            typer.echo(f"{report.file}: not covered: {missing}")


def _table(reports: list[SuiteReport]) -> Table:
    table = Table(Column("policy", no_wrap=True), "cases", "failed", "rules", "conditions", "threshold", "", box=None, pad_edge=False)
    for report in reports:
        coverage = report.coverage
        table.add_row(
            report.policy,
            str(len(report.cases)),
            str(len(report.failed)),
            f"{coverage.rules_percent} %",
            f"{coverage.conditions_percent} %",
            f"{report.threshold_percent} %",
            "passed" if report.is_passed else "FAILED",
        )
    return table
