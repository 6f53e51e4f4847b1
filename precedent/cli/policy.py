"""`precedent policy …`: check documents, run the tests beside them, publish them; the rest is `policy_change`'s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.cli import policy_change
from precedent.cli.analyse import analyse
from precedent.cli.policy_change import PRINCIPAL
from precedent.cli.policy_diff import diff
from precedent.db.embedded import database_url
from precedent.errors import PolicyInvalid, Problem
from precedent.policy import registry
from precedent.policy.change import activate
from precedent.policy.files import SUFFIXES, find_policies, no_suite, read_file, run_suite_beside, suite_beside
from precedent.policy.junit import junit
from precedent.policy.lint import lint_text
from precedent.policy.suite import Suite, SuiteReport, load_suite
from precedent.settings import load_settings

app = typer.Typer(help="Policies: lint, test, publish; activate, roll back, deactivate, withdraw; propose, approve.", no_args_is_help=True)
app.add_typer(policy_change.app)
app.command()(analyse)
app.command()(diff)

Paths = Annotated[list[Path], typer.Argument(exists=True, help="policy files, or folders of them")]


@app.command()
def lint(paths: Paths) -> None:
    """Print every problem as file:line:column; exit 1 where one is an error."""
    problems = [problem for file in find_policies(paths) for problem in _lint_file(file)]
    for problem in problems:
        typer.echo(problem.quoted())
    errors = sum(problem.severity == "error" for problem in problems)
    typer.echo(f"{_counted(errors, 'error')}, {_counted(len(problems) - errors, 'warning')}")
    if errors:
        raise typer.Exit(1)


@app.command("test")
def run_tests(
    paths: Paths,
    junit_file: Annotated[Path | None, typer.Option("--junit", dir_okay=False, help="also write what came out as JUnit XML")] = None,
    is_watching: Annotated[bool, typer.Option("--watch", help="run again whenever a file changes, until Ctrl-C")] = False,
) -> None:
    """Run the suite beside each policy; exit 1 where a case fails, coverage is under the threshold, or there is no suite."""
    if is_watching:
        with suppress(KeyboardInterrupt):
            for _ in _changes(paths):
                _test(paths, junit_file)
                typer.echo("watching: Ctrl-C ends it")
                sys.stdout.flush()
    elif not _test(paths, junit_file):
        raise typer.Exit(1)


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    activated: Annotated[bool, typer.Option("--activate", help="also make it the version that its name means")] = False,
) -> None:
    """Run its suite, then store the version for ever; a failing suite publishes nothing."""
    report = run_suite_beside(file)
    if not report.is_passed:
        _print_failures(report)
        raise typer.Exit(1)
    settings = load_settings()
    url = database_url(settings)
    published = registry.publish(url, settings, read_file(file), str(file), PRINCIPAL)
    typer.echo(f"{published.ref} {'published' if published.is_new else 'was published before'}, digest {published.digest}")
    if activated:
        policy_change.tell_activated(url, settings, activate(url, settings, published.ref, PRINCIPAL), published.ref)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lint_file(file: Path) -> list[Problem]:
    beside = suite_beside(file)
    suite: Suite | None = None
    problems: list[Problem] = []
    try:
        if beside.is_file():
            suite = load_suite(read_file(beside), str(beside))
        else:
            problems.append(no_suite(file, "warning"))
    except PolicyInvalid as refused:
        problems += refused.problems
    try:
        return lint_text(read_file(file), str(file), suite) + problems
    except PolicyInvalid as refused:
        return [*refused.problems, *problems]


def _test(paths: list[Path], junit_file: Path | None) -> bool:
    """Whether every suite passed; what came out is printed."""
    reports: list[SuiteReport] = []
    problems: list[Problem] = []
    for file in find_policies(paths):
        try:
            reports.append(run_suite_beside(file))
        except PolicyInvalid as refused:
            problems += refused.problems
    for problem in problems:
        typer.echo(problem.quoted())
    for report in reports:
        _print_failures(report)
    if reports:
        Console().print(_table(reports))
    if junit_file is not None:
        junit_file.write_text(junit(reports, problems), encoding="utf-8")
    return not problems and all(report.is_passed for report in reports)


def _changes(paths: list[Path]) -> Iterator[None]:
    """Once as soon as it watches, so that no change is missed, then once for each time that policies or suites change; until Ctrl-C."""
    from watchfiles import watch

    folders = {path if path.is_dir() else path.parent for path in paths}
    is_first = True
    for changed in watch(*folders, watch_filter=_is_ours, rust_timeout=100, yield_on_timeout=True):
        if changed or is_first:
            is_first = False
            yield


def _is_ours(_change: object, path: str) -> bool:
    return Path(path).suffix in SUFFIXES


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
