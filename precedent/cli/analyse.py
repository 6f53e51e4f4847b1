"""`precedent policy analyse`: what the rules can do on any input, proved or shown by a case; how two versions differ."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from precedent.errors import SolverMissing
from precedent.policy.compile import CompiledPolicy, compile_policy
from precedent.policy.document import load_document
from precedent.policy.files import find_policies, read_file, suite_beside
from precedent.policy.result import Control
from precedent.policy.suite import Suite, load_suite

if TYPE_CHECKING:
    from precedent.policy.analyse.difference import Difference
    from precedent.policy.analyse.findings import Report


@dataclass(frozen=True, slots=True)
class Options:
    timeout_seconds: float
    control: Control


def analyse(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="policy files, or folders of them")],
    against: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="where FILE differs from this version")] = None,
    newest: Annotated[bool, typer.Option(help="of each policy only its newest version: older ones never change")] = False,
    timeout: Annotated[float, typer.Option(min=0.001, max=3600, help="seconds for each question to the solver")] = 5.0,
    max_level: Annotated[int, typer.Option(min=0, max=3, help="the grant that is assumed")] = 3,
    write_tests: Annotated[bool, typer.Option(help="add each finding's case to the suite beside the policy")] = False,
    json: Annotated[bool, typer.Option(help="as one JSON document")] = False,
) -> None:
    """Prove invariants and find dead rules, overlaps and gaps.

    Exit 0 where everything is proved, 1 where a finding is an error, 2 where only something is left open.
    """
    _require_solver()
    files = find_policies(paths)
    options = Options(timeout, Control(halted=False, enabled=True, max_level=max_level))
    if against is not None:
        if len(files) != 1 or write_tests:
            raise typer.BadParameter("--against compares with one FILE, and writes no tests")
        raise typer.Exit(_compare(files[0], against, options, json))
    loaded = {file: _load(file) for file in files}
    chosen = _newest(loaded) if newest else loaded
    raise typer.Exit(_report(chosen, options, write_tests, json))


def _require_solver() -> None:
    try:
        import z3  # noqa: F401
    except ImportError as error:
        raise SolverMissing("couldn't analyse: the solver isn't installed; pip install 'precedent[analyse]'") from error


def _load(file: Path) -> CompiledPolicy:
    return compile_policy(load_document(read_file(file), str(file)))


def _suite(file: Path) -> tuple[Path, Suite | None]:
    beside = suite_beside(file)
    return beside, load_suite(read_file(beside), str(beside)) if beside.is_file() else None


def _newest(loaded: dict[Path, CompiledPolicy]) -> dict[Path, CompiledPolicy]:
    def rank(file: Path) -> list[int]:
        return [ord(part) - 1000 if part.isalpha() else int(part) for part in loaded[file].document.version.split(".")]

    newest: dict[str, Path] = {}
    for file in sorted(loaded, key=rank):
        newest[loaded[file].document.name] = file
    return {file: loaded[file] for file in loaded if file in newest.values()}


def _report(policies: dict[Path, CompiledPolicy], options: Options, write_tests: bool, as_json: bool) -> int:
    """Analyses each and prints; the worst exit code of all."""
    from precedent.policy.analyse.analysis import analyse as analysed

    codes, documents = [], []
    for file, policy in policies.items():
        beside, suite = _suite(file)
        report = analysed(policy, suite, options.timeout_seconds, options.control)
        codes.append(report.exit_code)
        documents.append(report.as_json())
        if not as_json:
            typer.echo("\n".join([*report.lines(), _summary(report)]))
        if write_tests:
            added = _write(policy, beside, suite, report)
            typer.echo(f"{beside}: {added} cases added", err=as_json)
    if as_json:
        typer.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2))
    return 1 if 1 in codes else max(codes, default=0)


def _summary(report: Report) -> str:
    from precedent.policy.analyse.findings import SEVERITIES

    counts = {severity: sum(finding.severity == severity for finding in report.findings) for severity in SEVERITIES}
    return f"{report.policy}: " + ", ".join(
        [*(f"{count} {severity}" for severity, count in counts.items()), f"{len(report.proved)} proved"]
    )


def _write(policy: CompiledPolicy, beside: Path, suite: Suite | None, report: Report) -> int:
    """Writes beside and renames: a crash leaves the old suite or the new one."""
    from precedent.policy.analyse.suite_text import with_cases

    before = beside.read_bytes().decode() if suite is not None else None  # its line ends as they are
    after, added = with_cases(policy, before, str(beside), report.findings)
    if added:
        partial = beside.with_name(f".{beside.name}.{os.getpid()}")
        try:
            partial.write_bytes(after.encode())
            partial.replace(beside)
        finally:
            partial.unlink(missing_ok=True)
    return added


def _compare(file: Path, against: Path, options: Options, as_json: bool) -> int:
    """Prints where `file` differs from `against`: 0 nowhere, 1 somewhere, 2 where that isn't known as a whole."""
    from precedent.policy.analyse.difference import semantic_difference
    from precedent.policy.analyse.wishes import usual_facts

    old, new = _load(against), _load(file)
    _, suite = _suite(file)
    differences = [
        semantic_difference(old, new, name, options.timeout_seconds, options.control, usual_facts(compiled.action, suite))
        for name, compiled in {**old.actions, **new.actions}.items()
    ]
    if as_json:
        document: dict[str, Any] = {"before": old.document.ref, "after": new.document.ref}
        typer.echo(orjson.dumps({**document, "actions": [held.as_json() for held in differences]}, option=orjson.OPT_INDENT_2))
    else:
        for held in differences:
            _print_difference(held)
    return 1 if any(len(held) for held in differences) else 0 if all(held.is_complete for held in differences) else 2


def _print_difference(held: Difference) -> None:
    for region in held:
        typer.echo(f"{held.action}: {region.before} → {region.after}\n    where  {region.description}\n    case   {region.witness.input}")
    for what in held.contract:
        typer.echo(f"{held.action}: facts: {what}")
    for what in held.open:
        typer.echo(f"{held.action}: open: {what}")
    if held.is_complete:
        regions = "one region" if len(held) == 1 else f"{len(held)} regions"
        typer.echo(f"{held.action}: {f'{regions}, the same everywhere else' if len(held) else 'the same everywhere'}")
