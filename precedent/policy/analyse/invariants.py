"""Invariants proved, or refuted by a case: a state that is never reached, and what moving one fact keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from precedent.policy.analyse.boxes import Atom
from precedent.policy.analyse.findings import Finding
from precedent.policy.analyse.inputs import Inputs
from precedent.policy.analyse.solver import Answer, Questions
from precedent.policy.analyse.subject import Subject
from precedent.policy.analyse.translate import Symbol, Translation, Untranslatable
from precedent.policy.analyse.values import Number, Text, Truth, both, either, negate
from precedent.policy.analyse.walk import Ending, walk_of
from precedent.policy.analyse.witness import Trial
from precedent.policy.checks import environment_of, verdict_scope
from precedent.policy.expression import Term, parse_expression
from precedent.policy.scope import refusal

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What came of one invariant for one action: `proved` in words, or findings."""

    proved: str | None
    findings: tuple[Finding, ...] = ()


def fits(subject: Subject, text: str) -> bool:
    """Whether a `never` means anything for the action: it may be about another."""
    scope = {**subject.walk.compiled.scope, **verdict_scope()}
    if any(refusal(str(name.value), scope, {}) for name in parse_expression(text).names()):
        return False
    try:
        environment_of(scope).compile(text)
    except RuntimeError:
        return False
    return True


def never(subject: Subject, name: str, text: str, path: Path) -> Ruling:
    """Whether no request reaches the state; an invariant that can't be evaluated on one is not proved."""
    inquiry = _Never(subject, name, text, path)
    findings = [*inquiry.unknown_rules(), *inquiry.violations()]
    proved = f"never ({subject.action}): {name}" if not any(finding.severity != "info" for finding in findings) else None
    return Ruling(proved, tuple(findings))


class _Never:
    def __init__(self, subject: Subject, name: str, text: str, path: Path) -> None:
        self.subject, self.name, self.text, self.path = subject, name, text, path
        self.term: Term = parse_expression(text)
        self.refused: dict[tuple[int, str], Untranslatable] = {}
        self.reached = [(ending, both(when, negate(self.truth(ending).no))) for ending, when in subject.walk.endings]

    def truth(self, ending: Ending) -> Truth:
        """The state in words of one ending; reading a feature that is absent errs."""
        said: dict[str, Symbol] = {
            "effective": Truth.known(ending.effective),
            "verdict": Text.known(ending.verdict),
            "level": Number.known(ending.level),
            "rule": Text.known(ending.rule),
        }
        translation = Translation(self.text, {**self.subject.walk.names, **said}, {}, self.subject.free)
        held = translation.condition(self.term)
        self.refused.update(((part.term.start, part.why), part) for part in translation.open)
        return held

    def unknown_rules(self) -> Iterator[Finding]:
        """A rule's name that is misspelt would never come, and prove anything."""
        known = {way.name for way in self.subject.walk.ways}
        for term in self.term.walk():
            if any(part.op == "name" and part.value == "rule" for part in term.parts):
                for part in (inner for held in term.parts for inner in held.walk()):
                    if part.op == "string" and part.value not in known:
                        message = f"'{self.name}': no rule is named '{part.value}'"
                        yield Finding("UNKNOWN_RULE", "error", self.subject.action, message, self.path, part.start)

    def violations(self) -> Iterator[Finding]:
        subject = self.subject
        for part in self.refused.values():
            message = f"'{self.name}': {part.why}: {self.text[part.term.start : part.term.end]}"
            yield Finding("NOT_ANALYSABLE", "open", subject.action, message, self.path, part.term.start)
        reply = subject.ask.find(either(*(when for _, when in self.reached)))
        if reply.answer is Answer.OPEN:
            yield subject.open(self.path, f"'{self.name}'")
        if reply.answer is not Answer.YES:
            return
        trial = subject.trial(reply.model, self.is_violated)
        if trial is None:
            yield subject.open(self.path, f"'{self.name}'", is_answered=True)
            return
        target = next((when for ending, when in self.reached if ending.rule == trial.result.rule), False)
        region = subject.region(reply.model, target, self.atoms())
        how = "it is so" if self.answer(trial) is True else "it can't be evaluated"
        message = f"'{self.name}' is refuted: {how} where '{trial.result.rule}' decides"
        yield Finding("REFUTED", "error", subject.action, message, self.path, region=region, cases=(trial.witness,))

    def atoms(self) -> tuple[Atom, ...]:
        """The state's comparisons that are about the request alone."""
        walk, found = self.subject.walk, list[Atom]()
        for term in self.term.atoms():
            if all(str(name.value) in walk.names for name in term.names()):
                text = self.text[term.start : term.end]
                truth = Translation(self.text, walk.names, {}, self.subject.free).condition(term)
                found.append(Atom.of(text, truth, term, walk.compiled.scope, {}))
        return tuple(found)

    def answer(self, trial: Trial) -> object:
        """What the library says of the state on the real evaluator's result."""
        result = trial.result
        environment = environment_of({**self.subject.walk.compiled.scope, **verdict_scope()})
        said = {"effective": result.effective, "verdict": result.verdict, "level": result.level, "rule": result.rule}
        try:
            return environment.compile(self.text).eval(environment.Activation({**trial.values, **said})).value()
        except RuntimeError as error:
            return str(error)

    def is_violated(self, trial: Trial) -> bool:
        return self.answer(trial) is not False


def monotone(subject: Subject, name: str, moved: Mapping[str, str], path: Path) -> Ruling:
    """Whether moving one fact one way, all else being the same, keeps what the invariant says.

    level: what is decided never needs more authority; a denial needs none, and what waits for a person needs a person's.
    approval: what is approved stays approved.
    """
    fact = f"facts.{moved['fact']}"
    if fact not in subject.inputs.unknowns:
        return Ruling(f"monotone ({subject.action}): {name}")  # no rule can read it
    if subject.inputs.unknowns[fact].values or subject.inputs.unknowns[fact].kind in {"string", "text"}:
        message = f"'{name}': {moved['fact']} has no order to move in"
        return Ruling(None, (Finding("NOT_ANALYSABLE", "open", subject.action, message, (*path, "fact")),))
    finding = _Monotone(subject, name, fact, moved, path).violation()
    return Ruling(f"monotone ({subject.action}): {name}" if finding is None else None, () if finding is None else (finding,))


class _Monotone:
    """Two requests that differ in one fact, each with its own walk, under one solver."""

    def __init__(self, subject: Subject, name: str, fact: str, moved: Mapping[str, str], path: Path) -> None:
        self.subject, self.name, self.path = subject, name, path
        self.keeps = moved["keeps"]
        self.ask = Questions((), subject.timeout_seconds)
        self.here, self.there = Inputs(), Inputs(moved=fact)
        policy, action, free = subject.walk.policy, subject.action, dict(subject.free)
        first = walk_of(policy, action, self.here, self.ask, free, subject.control, "before/")
        # the same words stand for the same value only where they don't read what moved
        shared = {written: truth for written, truth in free.items() if fact not in written}
        second = walk_of(policy, action, self.there, self.ask, shared, subject.control, "after/")
        before, after = self.here.unknowns[fact].variable, self.there.unknowns[fact].variable
        low, high = (after, before) if moved["direction"] == "down" else (before, after)
        order = both(negate(low), high) if self.here.unknowns[fact].kind == "bool" else low < high
        self.ask.add(*self.here.domain(), *self.there.domain(), order)
        self.ask.wishes = list(subject.ask.wishes)
        self.violated = either(
            *(both(when, then) for one, when in first.endings for two, then in second.endings if self.breaks(_said(one), _said(two)))
        )

    def breaks(self, before: tuple[str, int | None], after: tuple[str, int | None]) -> bool:
        if self.keeps == "approval":
            return before[0] == "approve" and after[0] != "approve"
        return before[1] is not None and after[1] is not None and after[1] > before[1]

    def violation(self) -> Finding | None:
        reply = self.ask.find(self.violated)
        what = f"'{self.name}'"
        if reply.answer is Answer.NO:
            return None
        if reply.answer is Answer.OPEN:
            return self.subject.open(self.path, what)
        before = self.trial(self.here, reply.model)
        after = self.trial(self.there, reply.model)
        if before is None or after is None or not self.breaks(_came(before), _came(after)):
            return self.subject.open(self.path, what, is_answered=True)
        lost = "it is no longer approved" if self.keeps == "approval" else "it needs more authority"
        message = f"{what} is refuted: {lost} after the move"
        cases = (before.witness, after.witness)
        return Finding("REFUTED", "error", self.subject.action, message, self.path, cases=cases)

    def trial(self, inputs: Inputs, model: Any) -> Trial | None:
        return replace(self.subject, inputs=inputs).trial(model, lambda _: True)


def _said(ending: Ending) -> tuple[str, int | None]:
    return ending.verdict, ending.needs


def _came(trial: Trial) -> tuple[str, int | None]:
    result = trial.result
    return _said(Ending(result.verdict, result.level, result.effective, result.rule))
