"""A whole policy analysed: every action's rules, then every invariant for every action that it is about."""

from __future__ import annotations

from collections.abc import Iterator

from precedent.policy.analyse import invariants, rules
from precedent.policy.analyse.findings import Finding, Report, placed
from precedent.policy.analyse.subject import Subject, subject_of
from precedent.policy.analyse.walk import GRANTED
from precedent.policy.analyse.wishes import usual_facts
from precedent.policy.compile import CompiledPolicy
from precedent.policy.result import Control
from precedent.policy.scope import Places
from precedent.policy.suite import Suite

TIMEOUT_SECONDS = 5.0


def analyse(
    policy: CompiledPolicy, suite: Suite | None = None, timeout_seconds: float = TIMEOUT_SECONDS, control: Control = GRANTED
) -> Report:
    """Everything that is found of a policy; the suite's facts are what cases look like where they may.

    Cost: a solver's question for each rule, pair of bands and invariant, each at most `timeout_seconds`.
    """
    subjects = [
        subject_of(policy, name, timeout_seconds, usual_facts(compiled.action, suite), control) for name, compiled in policy.actions.items()
    ]
    findings = [finding for subject in subjects for finding in _of_rules(subject)]
    proved: list[str] = []
    for subject in subjects:
        if not any(finding.path == subject.walk.otherwise.compiled.rule.path for finding in findings):
            proved.append(f"complete ({subject.action}): guards and bands leave nothing to `otherwise`")
    for ruling in _of_invariants(policy, subjects):
        findings += ruling.findings
        proved += [ruling.proved] if ruling.proved else []
    places = Places(policy.document.root, policy.document.source, policy.document.file)

    def place(path: tuple[str | int, ...], offset: int | None) -> tuple[int, int]:
        node = places.root.at(path)
        return (node.line, node.column) if offset is None else places.place(node, offset)

    ordered = sorted((placed(finding, place) for finding in findings), key=lambda finding: (finding.line, finding.column))
    return Report(policy.document.ref, policy.document.file, tuple(ordered), tuple(proved))


def _of_rules(subject: Subject) -> Iterator[Finding]:
    yield from rules.open_parts(subject)
    yield from rules.idle_rules(subject)
    yield from rules.erring_rules(subject)
    yield from rules.overlaps(subject)
    yield from rules.gaps(subject)


def _of_invariants(policy: CompiledPolicy, subjects: list[Subject]) -> Iterator[invariants.Ruling]:
    for index, invariant in enumerate(policy.document.invariants):
        for subject in subjects:
            if "never" in invariant:
                if invariants.fits(subject, invariant["never"]):
                    yield invariants.never(subject, invariant["name"], invariant["never"], ("invariants", index, "never"))
            elif invariant["monotone"]["fact"] in subject.walk.compiled.action.facts:
                yield invariants.monotone(subject, invariant["name"], invariant["monotone"], ("invariants", index, "monotone"))
