"""Policies and the suites beside them, as files: which there are, and what a suite comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from precedent.errors import PolicyInvalid, Problem
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.hints import HINTS
from precedent.policy.suite import SuiteReport, run_suite

SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def find_policies(paths: Iterable[Path]) -> list[Path]:
    """The policy documents under the paths: YAML or JSON, without suites and schemas. A file that is named is always one."""
    return sorted(dict.fromkeys(file for path in paths for file in ([path] if path.is_file() else _walk(path))))


def suite_beside(file: Path) -> Path:
    """Where a policy's suite lies: `NAME-VERSION_test.yaml` beside it."""
    return file.with_name(f"{file.stem}_test.yaml")


def policy_beside(suite: Path) -> Path | None:
    """The policy that a suite lies beside; None where there is none."""
    stem = suite.stem.removesuffix("_test")
    return next((file for suffix in sorted(SUFFIXES) if (file := suite.with_name(stem + suffix)).is_file()), None)


def read_file(file: Path) -> str:
    """The text of a file.

    Raises: PolicyInvalid where it isn't UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PolicyInvalid([Problem("NOT_UTF8", "the file is not UTF-8", str(file), 1, 1, suggestion=HINTS["NOT_UTF8"])]) from error


def no_suite(file: Path, severity: str = "error") -> Problem:
    """That a policy has no tests."""
    message = f"no tests: {suite_beside(file).name} is missing"
    return Problem("NO_SUITE", message, str(file), 1, 1, severity, HINTS["NO_SUITE"])


def run_suite_beside(file: Path) -> SuiteReport:
    """What the suite beside a policy comes to.

    Raises: PolicyInvalid where either is none, or there is no suite.
    """
    compiled = compile_policy(load_document(read_file(file), str(file)))
    beside = suite_beside(file)
    if not beside.is_file():
        raise PolicyInvalid([no_suite(file)])
    return run_suite(compiled, read_file(beside), str(beside))


def _walk(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        inside = file.relative_to(folder).parts
        if file.suffix in SUFFIXES and not file.stem.endswith("_test") and "_schemas" not in inside:
            yield file
