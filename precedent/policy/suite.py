"""Tests beside a policy: cases as requests write them, what must come back, and how much of the rules they reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from precedent.errors import FactsInvalid, PolicyInvalid, Problem
from precedent.policy.compile import CompiledAction, CompiledPolicy, CompiledRule
from precedent.policy.evaluate import Control, Result, evaluate, moment_of
from precedent.policy.facts import type_facts
from precedent.policy.hints import explaining
from precedent.policy.markup import Node, read_markup
from precedent.policy.quantity import QuantityRefused, parse_instant
from precedent.policy.structure import check_structure
from precedent.policy.thresholds import Value

EVERYTHING_ON = {"halted": False, "enabled": True, "max_level": 3}


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite as written, and its tree for places."""

    policy: str
    threshold_percent: int
    plain: Mapping[str, Any]
    root: Node
    file: str


@dataclass(frozen=True, slots=True)
class CaseReport:
    """One case; `faults` say what came back instead, empty where it passed."""

    name: str
    line: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the cases reached: rules that decided one, and atoms of conditions seen both true and false."""

    rules: Mapping[str, bool]
    conditions: Mapping[str, frozenset[bool]]

    @property
    def rules_percent(self) -> int:
        return _percent(sum(self.rules.values()), len(self.rules))

    @property
    def conditions_percent(self) -> int:
        return _percent(sum(len(seen) for seen in self.conditions.values()), 2 * len(self.conditions))

    def missing(self) -> list[str]:
        """What no case reached, in words."""
        rules = [f"{rule} decides no case" for rule, seen in self.rules.items() if not seen]
        return rules + [
            f"{condition} is never {'false' if True in seen else 'true' if seen else 'asked'}"
            for condition, seen in self.conditions.items()
            if len(seen) < 2
        ]


@dataclass(frozen=True, slots=True)
class SuiteReport:
    policy: str
    file: str
    cases: tuple[CaseReport, ...]
    coverage: Coverage
    threshold_percent: int

    @property
    def failed(self) -> tuple[CaseReport, ...]:
        return tuple(case for case in self.cases if case.faults)

    @property
    def is_covered(self) -> bool:
        """Whether both coverages reach the threshold."""
        return min(self.coverage.rules_percent, self.coverage.conditions_percent) >= self.threshold_percent

    @property
    def is_passed(self) -> bool:
        return not self.failed and self.is_covered

    def coverage_in_words(self) -> str:
        """How far the cases reach: `rules 80 %, conditions 65 %, at least 100 % wanted`."""
        reached = self.coverage
        return f"rules {reached.rules_percent} %, conditions {reached.conditions_percent} %, at least {self.threshold_percent} % wanted"


def load_suite(text: str, file: str) -> Suite:
    """The suite that `text` writes out.

    Raises: PolicyInvalid with each problem's line and column.
    """
    with explaining(text):
        root = read_markup(text, file)
        if problems := check_structure(root, "suite.v1.json", file):
            raise PolicyInvalid(problems)
    plain: Any = root.plain()
    return Suite(plain["policy"], plain.get("threshold", 100), plain, root, file)


def run_suite(compiled: CompiledPolicy, suite_text: str, file: str) -> SuiteReport:
    """What every case of a suite came to.

    Raises: PolicyInvalid where the suite isn't one, is for another version, or a case names no instant or action.
    """
    with explaining(suite_text):
        return _run(compiled, load_suite(suite_text, file))


def _run(compiled: CompiledPolicy, suite: Suite) -> SuiteReport:
    if suite.policy != compiled.document.ref:
        node = suite.root.at(("policy",))
        message = f"the suite is for {suite.policy}, beside it lies {compiled.document.ref}"
        raise PolicyInvalid([Problem("WRONG_POLICY", message, suite.file, node.line, node.column)])
    run = _Run(compiled, suite)
    cases = tuple(run.case(index, case) for index, case in enumerate(suite.plain["cases"]))
    own = compiled.document.coverage_percent  # who writes cases can't lower what the policy's owner asks for
    threshold = suite.threshold_percent if own is None else own
    return SuiteReport(suite.policy, suite.file, cases, Coverage(run.rules, run.conditions()), threshold)


@dataclass(slots=True)
class _Run:
    compiled: CompiledPolicy
    suite: Suite
    rules: dict[str, bool] = field(default_factory=dict)
    seen: dict[tuple[str, str, str], set[bool]] = field(default_factory=dict)
    programs: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, action in self.compiled.actions.items():
            for rule in (*action.guards, *action.bands, action.otherwise):
                self.rules[f"{name}/{rule.rule.name}"] = False
            for rule in (*action.guards, *action.bands):
                for written, condition in rule.atoms:
                    self.seen[name, rule.rule.name, written] = set()
                    self.programs[name, rule.rule.name, written] = action.environment.compile(condition)

    def conditions(self) -> dict[str, frozenset[bool]]:
        return {f"{action}/{rule}: {atom}": frozenset(seen) for (action, rule, atom), seen in self.seen.items()}

    def case(self, index: int, case: Mapping[str, Any]) -> CaseReport:
        line = self.suite.root.at(("cases", index)).line
        expect = case["expect"]
        try:
            result = self.answer(index, case)
        except FactsInvalid as refused:
            codes = [fault.code for fault in refused.faults]
            fine = expect.get("refused") in codes
            said = "; ".join(f"{fault.code} {fault.pointer}: {fault.message}" for fault in refused.faults)
            return CaseReport(case["name"], line, () if fine else (f"the facts were refused: {said}",))
        return CaseReport(case["name"], line, tuple(_faults(expect, result)))

    def answer(self, index: int, case: Mapping[str, Any]) -> Result:
        plain = self.suite.plain
        only = next(iter(self.compiled.actions)) if len(self.compiled.actions) == 1 else None
        action: str = case.get("action") or plain.get("action") or self.compiled.document.default_action or only or ""
        if action not in self.compiled.actions:
            raise self.invalid(index, "ACTION", f"the case asks for no action of the policy: {action}")
        compiled = self.compiled.actions[action]
        left_out = set(case.get("without", ()))
        raw = {name: value for name, value in {**plain.get("facts", {}), **case.get("facts", {})}.items() if name not in left_out}
        typed = type_facts(compiled.action, raw)
        features = {**plain.get("memory", {}), **case.get("memory", {})}
        for name in features:
            if name not in compiled.action.memory:
                raise self.invalid(index, "UNKNOWN_NAME", f"the policy reads no feature '{name}'")
        moment = moment_of(self.now(index, case), self.compiled.document.time_zone)
        control = Control(**{**EVERYTHING_ON, **case.get("control", {})})
        result = evaluate(self.compiled, action, typed.rules, features, moment, control)
        values: dict[str, Value] = {"weekday": moment.weekday, "local_minute": moment.local_minute}
        values.update((f"facts.{name}", value) for name, value in typed.rules.items())
        values.update((f"memory.{name}", missing) for name, missing in compiled.action.memory.items() if missing is not None)
        values.update((f"memory.{name}", value) for name, value in features.items())
        self.cover(action, compiled, result, values)
        return result

    def now(self, index: int, case: Mapping[str, Any]) -> int:
        text = case.get("now") or self.suite.plain.get("now")
        if text is None:
            raise self.invalid(index, "NOW", "the case has no `now`: a test reads no clock")
        try:
            return parse_instant(text)
        except QuantityRefused as refused:
            raise self.invalid(index, "NOW", f"now: {refused.message}") from refused

    def cover(self, action: str, compiled: CompiledAction, result: Result, values: Mapping[str, Value]) -> None:
        if f"{action}/{result.rule}" in self.rules:
            self.rules[f"{action}/{result.rule}"] = True
        asked = {step.rule for step in result.trace if step.held != "error"}
        activation = compiled.environment.Activation(values)
        rules: tuple[CompiledRule, ...] = (*compiled.guards, *compiled.bands)
        for rule in rules:
            for written, _ in rule.atoms if rule.rule.name in asked else ():
                answer = self.programs[action, rule.rule.name, written].eval(activation).value()
                if isinstance(answer, bool):
                    self.seen[action, rule.rule.name, written].add(answer)

    def invalid(self, index: int, code: str, message: str) -> PolicyInvalid:
        node = self.suite.root.at(("cases", index))
        return PolicyInvalid([Problem(code, message, self.suite.file, node.line, node.column)])


def _faults(expect: Mapping[str, Any], result: Result) -> list[str]:
    change = result.counterfactual
    came = {
        "verdict": result.verdict,
        "level": f"AL{result.level}",
        "rule": result.rule,
        "reason": result.reasons[0].code,
        "text": result.reasons[0].text,
        "counterfactual": change.text if change else None,
        "refused": None,
    }
    return [f"{key}: expected {wanted}, came {came[key]}" for key, wanted in expect.items() if came[key] != wanted]


def _percent(part: int, whole: int) -> int:
    """Rounded down, so that 100 means all."""
    return 100 if not whole else 100 * part // whole
