"""Everything wrong with a document at once: errors that stop it, and warnings that a person should read."""

from __future__ import annotations

from collections.abc import Iterator

from precedent.errors import PolicyInvalid, Problem
from precedent.policy.compile import CompiledAction, compile_policy
from precedent.policy.document import load_document
from precedent.policy.hints import explain_problems
from precedent.policy.model import Document
from precedent.policy.suite import Suite


def lint_text(text: str, file: str, suite: Suite | None = None) -> list[Problem]:
    """Every problem of a document's text; nothing is raised."""
    try:
        document = load_document(text, file)
    except PolicyInvalid as refused:
        return list(refused.problems)
    return lint(document, suite)


def lint(document: Document, suite: Suite | None = None) -> list[Problem]:
    """Every problem of a loaded document, in the order of its text; with its suite also the facts that no case gives."""
    try:
        compiled = compile_policy(document)
    except PolicyInvalid as refused:
        return list(refused.problems)
    problems = [problem for name, action in compiled.actions.items() for problem in _unused(document, name, action)]
    if suite is not None:
        problems += [problem for name in compiled.actions for problem in _untested(document, name, suite)]
    return explain_problems(sorted(problems, key=lambda problem: (problem.line, problem.column)), document.source)


def _unused(document: Document, name: str, compiled: CompiledAction) -> Iterator[Problem]:
    read = _names_read(compiled)
    for fact in compiled.action.facts.values():
        if fact.is_readable and not fact.entity and f"facts.{fact.name}" not in read:
            message = f"no rule reads {fact.name}: it is only recorded"
            yield _warning(document, ("actions", name, "facts", fact.name), "UNUSED_FACT", message)
    for feature in compiled.action.features:
        if f"memory.{feature}" not in read:
            yield _warning(document, ("actions", name, "memory", "features", feature), "UNUSED_FEATURE", f"no rule reads memory.{feature}")


def _names_read(compiled: CompiledAction) -> set[str]:
    rules = (*compiled.guards, *compiled.bands, compiled.otherwise)
    return {name for rule in rules for name in (*rule.reads, *rule.words.pieces[1::2])}


def _untested(document: Document, name: str, suite: Suite) -> Iterator[Problem]:
    given = set(suite.plain.get("facts", ()))
    for case in suite.plain["cases"]:
        given |= set(case.get("facts", ()))
    for fact in document.actions[name].facts:
        if fact not in given:
            yield _warning(document, ("actions", name, "facts", fact), "UNTESTED_FACT", f"no case gives {fact}")


def _warning(document: Document, path: tuple[str | int, ...], code: str, message: str) -> Problem:
    node = document.root.at(path)
    return Problem(code, message, document.file, node.line, node.column, severity="warning")
