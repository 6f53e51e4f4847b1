"""Rules compiled once at load: type-checked CEL, converted numbers, words, thresholds; every problem with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from precedent.errors import PolicyInvalid, Problem
from precedent.policy.expression import ExpressionRefused, Term, parse_expression, substitute
from precedent.policy.explain import PLACEHOLDER, Words, write_value
from precedent.policy.model import Action, Document, Rule
from precedent.policy.nearest import Aim, aims_of
from precedent.policy.quantity import QuantityRefused, scale
from precedent.policy.scope import Places, Variable, action_scope, names_read, refusal, reward_scope
from precedent.policy.thresholds import Threshold, thresholds_of
from precedent.policy.units import Meeting, decimals_of_unit, kind_of_unit, meetings

_TYPES: dict[str, Any] = {"int": cel.Type.INT, "bool": cel.Type.BOOL, "string": cel.Type.STRING}
_PYTHON: dict[str, type] = {"int": int, "bool": bool, "string": str}
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")
PATTERN_LIMIT_CHARS = 200
SUCCESS_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule that can be evaluated. `numbers` are in integer units; `reads` are the names that its condition reads."""

    rule: Rule
    expression: Any
    reads: tuple[str, ...]
    numbers: dict[str, int]
    words: Words
    thresholds: tuple[Threshold, ...]
    is_all_thresholds: bool
    condition: str
    atoms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledAction:
    """One action's rules with their shared environment. `inputs` are (fact, name in rules, Python type, may be absent)."""

    action: Action
    scope: dict[str, Variable]
    environment: Any
    inputs: tuple[tuple[str, str, type, bool], ...]
    features: tuple[tuple[str, str, type, int | bool | str | None], ...]
    guards: tuple[CompiledRule, ...]
    bands: tuple[CompiledRule, ...]
    otherwise: CompiledRule
    aims: tuple[Aim, ...]
    reward: Any
    reward_reads: tuple[str, ...]
    reward_environment: Any


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A document and its compiled actions; safe to share between threads, since nothing in it changes."""

    document: Document
    actions: Mapping[str, CompiledAction]

    def reward_ppm(self, action: str, metrics: Mapping[str, int | bool | str], band_numbers: Mapping[str, int]) -> int | None:
        """The reward of an outcome in ppm: true 1,000,000, false 0, an integer clamped to both.

        None where a name that it reads is absent, or it errs: a missing reward is missing, never a failure.
        """
        compiled = self.actions.get(action)
        if compiled is None or compiled.reward is None:
            return None
        values: dict[str, int | bool | str] = {f"outcome.{name}": value for name, value in metrics.items()}
        values.update((f"band.{name}", value) for name, value in band_numbers.items())
        try:
            held = {name: values[name] for name in compiled.reward_reads}
            answer = compiled.reward.eval(compiled.reward_environment.Activation(held)).value()
        except (KeyError, RuntimeError):
            return None
        if isinstance(answer, bool):
            return SUCCESS_PPM if answer else 0
        return min(max(answer, 0), SUCCESS_PPM) if isinstance(answer, int) else None


def compile_policy(document: Document) -> CompiledPolicy:
    """The document ready to evaluate.

    Raises: PolicyInvalid with every unknown name, wrong type, personal read and unit clash, each at its line and column.
    """
    places = Places(document.root, document.source, document.file)
    actions = {name: _ActionCompiler(action, places).compile() for name, action in document.actions.items()}
    _check_invariants(document, places)
    if places.problems:
        raise PolicyInvalid(sorted(places.problems, key=lambda problem: (problem.line, problem.column)))
    return CompiledPolicy(document, {name: compiled for name, compiled in actions.items() if compiled is not None})


def _environment(scope: Mapping[str, Variable], numbers: Mapping[str, object] = {}) -> Any:  # noqa: B006 - never changed
    types = {name: _TYPES[held.type] for name, held in scope.items() if held.fact is None or held.fact.is_readable}
    return cel.NewEnv(variables=types | dict.fromkeys(numbers, cel.Type.INT))


class _ActionCompiler:
    def __init__(self, action: Action, places: Places) -> None:
        self.action = action
        self.places = places
        self.scope = action_scope(action)
        self.environment = _environment(self.scope)
        self.number_units: dict[tuple[str, ...], set[str]] = {}

    def compile(self) -> CompiledAction | None:
        before = len(self.places.problems)
        reward = self.parse_reward()
        guards = [self.rule(rule, None) for rule in self.action.guards]
        bands = [self.rule(rule, reward) for rule in self.action.bands]
        otherwise = self.rule(self.action.otherwise, None)
        success = self.compile_reward(reward)
        if len(self.places.problems) > before:
            return None
        held_guards, held_bands = tuple(filter(None, guards)), tuple(filter(None, bands))
        assert otherwise is not None  # noqa: S101 - a rule is None only beside a problem
        facts = [(name, held) for name, held in self.action.facts.items() if held.is_readable]
        return CompiledAction(
            action=self.action,
            scope=self.scope,
            environment=self.environment,
            inputs=tuple((name, f"facts.{name}", _PYTHON[self.scope[f"facts.{name}"].type], held.optional) for name, held in facts),
            features=tuple(
                (name, f"memory.{name}", _PYTHON[self.scope[f"memory.{name}"].type], missing) for name, missing in self.action.features.items()
            ),
            guards=held_guards,
            bands=held_bands,
            otherwise=otherwise,
            aims=aims_of(
                [(band.rule.level, band.thresholds) for band in held_bands],
                [guard.thresholds[0] for guard in held_guards if guard.is_all_thresholds and len(guard.thresholds) == 1],
                self.scope,
            ),
            reward=success,
            reward_reads=names_read(reward) if reward else (),
            reward_environment=self.reward_environment() if reward else None,
        )

    def rule(self, rule: Rule, reward: Term | None) -> CompiledRule | None:
        path = (*rule.path, "when")
        root = self.parse(path, rule.when) if rule.kind != "otherwise" else parse_expression("true")
        numbers = {f"{rule.kind}.{name}": name for name in rule.numbers}
        if root is None or not self.check_names(root, path, self.scope, numbers):
            return None
        units = self.check_units(root, path, self.scope, rule.kind)
        if reward is not None:
            for name, unit in self.check_units(reward, ("actions", self.action.name, "reward", "success"), reward_scope(self.action), "band").items():
                units.setdefault(name, unit)
        typed = {f"{rule.kind}.{name}": self.number(rule, name, units.get(f"{rule.kind}.{name}")) for name in rule.numbers}
        condition = substitute(rule.when, root, typed)
        expression = self.compile_text(condition, rule.when, path, self.environment, self.scope, numbers, (cel.Type.BOOL,))
        thresholds, is_all = thresholds_of(root, self.scope, typed)
        words = self.words(rule, thresholds if is_all else (), typed, units)
        if expression is None or words is None:
            return None
        return CompiledRule(
            rule=rule,
            expression=expression,
            reads=tuple(name for name in names_read(root) if name in self.scope),
            numbers={name: typed[f"{rule.kind}.{name}"] for name in rule.numbers},
            words=words,
            thresholds=thresholds if rule.kind != "otherwise" else (),
            is_all_thresholds=is_all,
            condition=condition,
            atoms=tuple(substitute(rule.when, atom, typed) for atom in root.atoms()) if rule.kind != "otherwise" else (),
        )

    def parse(self, path: tuple[str | int, ...], text: str) -> Term | None:
        try:
            return parse_expression(text)
        except ExpressionRefused as refused:
            self.places.note(path, refused.code, refused.message, offset=refused.offset)
            return None

    def check_names(self, root: Term, path: tuple[str | int, ...], scope: Mapping[str, Variable], numbers: Mapping[str, object]) -> bool:
        before = len(self.places.problems)
        for name in root.names():
            if problem := refusal(str(name.value), scope, numbers):
                code, message, suggestion = problem
                self.places.note(path, code, message, suggestion, name.start)
        for call in root.walk():
            if call.op == "()" and call.value == "matches":
                self.check_pattern(call, path)
        return len(self.places.problems) == before

    def check_pattern(self, call: Term, path: tuple[str | int, ...]) -> None:
        pattern = call.parts[-1]
        if len(call.parts) != 2 or pattern.op != "string":
            self.places.note(path, "PATTERN", "matches takes one literal pattern", offset=call.start)
            return
        text = str(pattern.value)
        if len(text) > PATTERN_LIMIT_CHARS:
            self.places.note(path, "PATTERN", f"a pattern has at most {PATTERN_LIMIT_CHARS} characters", offset=pattern.start)
            return
        env = cel.NewEnv(variables={"pattern": cel.Type.STRING})
        answer = env.compile("''.matches(pattern)").eval(env.Activation({"pattern": text})).value()
        if not isinstance(answer, bool):
            self.places.note(path, "PATTERN", f"no usable pattern: {answer}", offset=pattern.start)

    def check_units(self, root: Term, path: tuple[str | int, ...], scope: Mapping[str, Variable], prefix: str) -> dict[str, str]:
        """The unit that each of the rule's numbers takes; clashes are problems."""
        taken: dict[str, str] = {}
        for meeting in meetings(root, scope, prefix):
            if len(meeting.units) > 1:
                self.places.note(path, "UNITS", f"compares {' with '.join(meeting.units)}", offset=meeting.term.start)
            elif meeting.units:
                self.take_units(meeting, taken, path)
            self.check_values(meeting, path, scope)
        return taken

    def take_units(self, meeting: Meeting, taken: dict[str, str], path: tuple[str | int, ...]) -> None:
        for number in meeting.numbers:
            before = taken.setdefault(str(number.value), meeting.units[0])
            if before != meeting.units[0]:
                self.places.note(path, "UNITS", f"{number.value} is compared with {before} and with {meeting.units[0]}", offset=number.start)

    def check_values(self, meeting: Meeting, path: tuple[str | int, ...], scope: Mapping[str, Variable]) -> None:
        """An enum compared with a value that it never has is a slip of the pen, and would silently never hold."""
        from precedent.policy.structure import nearest

        for one, other in (meeting.term.parts, meeting.term.parts[::-1]):
            fact = scope[str(one.value)].fact if one.op == "name" and str(one.value) in scope else None
            if fact is not None and fact.type == "enum" and other.op == "string" and other.value not in fact.values:
                hint = nearest(str(other.value), fact.values)
                self.places.note(path, "NOT_ALLOWED", f"'{other.value}' is no value of {fact.name}: {', '.join(fact.values)} are", hint, other.start)

    def number(self, rule: Rule, name: str, unit: str | None) -> int:
        try:
            return scale(rule.numbers[name], decimals_of_unit(unit))
        except QuantityRefused as refused:
            why = refused.message if unit else f"{refused.message}, and it is compared with nothing that has decimals"
            self.places.note((*rule.path, "with", name), refused.code, f"{name}: {why}")
            return 0

    def compile_text(
        self,
        condition: str,
        written: str,
        path: tuple[str | int, ...],
        environment: Any,
        scope: Mapping[str, Variable],
        numbers: Mapping[str, object],
        allowed: tuple[Any, ...],
    ) -> Any:
        try:
            expression = environment.compile(condition)
        except RuntimeError as error:
            offset, message = _place_of(error, written, _environment(scope, numbers))
            self.places.note(path, "TYPE", message, offset=offset)
            return None
        if expression.return_type() not in allowed:
            self.places.note(path, "TYPE", f"must be {' or '.join(kind.name().lower() for kind in allowed)}, is {expression.return_type().name().lower()}")
            return None
        return expression

    def words(self, rule: Rule, thresholds: tuple[Threshold, ...], numbers: dict[str, int], units: dict[str, str]) -> Words | None:
        if rule.text is None:
            return Words(rule.reason, (), thresholds if rule.kind != "otherwise" else (), _closing(rule))
        pieces: list[str] = []
        literal, at = "", 0
        for found in PLACEHOLDER.finditer(rule.text):
            literal += rule.text[at : found.start()]
            at, name = found.end(), found[1]
            if name in numbers:
                kind, currency = kind_of_unit(units.get(name))
                literal += write_value(Variable(name, "int", kind, currency), numbers[name])
                continue
            if problem := refusal(name, self.scope, numbers):
                code, message, suggestion = problem
                self.places.note((*rule.path, "text"), "PERSONAL_IN_TEXT" if code == "PERSONAL_IN_RULE" else code, message, suggestion, found.start() + 1)
                return None
            pieces += [literal, name]
            literal = ""
        return Words(rule.reason, (*pieces, literal + rule.text[at:]))

    def parse_reward(self) -> Term | None:
        if self.action.reward is None:
            return None
        path = ("actions", self.action.name, "reward", "success")
        root = self.parse(path, self.action.reward.success)
        numbers = self.shared_numbers()
        return root if root is not None and self.check_names(root, path, reward_scope(self.action), dict.fromkeys(numbers)) else None

    def shared_numbers(self) -> list[str]:
        """Numbers that every band has: a reward that read another would be missing for some decisions."""
        held = [set(band.numbers) for band in self.action.bands]
        return sorted(f"band.{name}" for name in set.intersection(*held)) if held else []

    def reward_environment(self) -> Any:
        return _environment(reward_scope(self.action), dict.fromkeys(self.shared_numbers()))

    def compile_reward(self, root: Term | None) -> Any:
        if root is None or self.action.reward is None:
            return None
        path = ("actions", self.action.name, "reward", "success")
        text, numbers = self.action.reward.success, dict.fromkeys(self.shared_numbers())
        if not self.action.bands:
            self.check_units(root, path, reward_scope(self.action), "band")
        return self.compile_text(text, text, path, self.reward_environment(), reward_scope(self.action), numbers, (cel.Type.BOOL, cel.Type.INT))


def _closing(rule: Rule) -> str:
    if rule.kind == "band":
        return f"within the {rule.name.replace('_', ' ')} band (AL{rule.level})"
    if rule.kind == "guard":
        return f"{rule.name.replace('_', ' ')} {'forbids it' if rule.verdict == 'deny' else 'asks for a person'}"
    return "no band permits this" + (": a person decides" if rule.verdict == "escalate" else "")


def _place_of(error: RuntimeError, written: str, environment: Any) -> tuple[int, str]:
    """Offset and message of a compile error; numbers were filled in, so the text as written is compiled for its place."""
    try:
        environment.compile(written)
        text = str(error)
    except RuntimeError as original:
        text = str(original)
    found = _PLACE.search(text)
    if found is None:
        return 0, text.splitlines()[0][:200]
    row, column = int(found[1]), int(found[2])
    lines = written.split("\n")
    offset = sum(len(line) + 1 for line in lines[: row - 1]) + column - 1
    return max(0, min(offset, len(written))), found[3]


def _check_invariants(document: Document, places: Places) -> None:
    for index, invariant in enumerate(document.invariants):
        if "never" not in invariant:
            continue
        path = ("invariants", index, "never")
        try:
            root = parse_expression(invariant["never"])
        except ExpressionRefused as refused:
            places.note(path, refused.code, refused.message, offset=refused.offset)
            continue
        _check_invariant(root, invariant["never"], path, document, places)


def _check_invariant(root: Term, text: str, path: tuple[str | int, ...], document: Document, places: Places) -> None:
    """An invariant must fit at least one action; its problems are those against the first."""
    first: Problem | tuple[str, str, str | None, int] | None = None
    for action in document.actions.values():
        scope = action_scope(action)
        scope |= {"effective": Variable("effective", "bool", "bool"), "verdict": Variable("verdict", "string", "string"), "level": Variable("level", "int", "int")}
        bad = [(*problem, name.start) for name in root.names() if (problem := refusal(str(name.value), scope, {}))]
        if not bad:
            try:
                if _environment(scope).compile(text).return_type() == cel.Type.BOOL:
                    return
                bad = [("TYPE", "must be bool", None, 0)]
            except RuntimeError as error:
                offset, message = _place_of(error, text, _environment(scope))
                bad = [("TYPE", message, None, offset)]
        first = first or bad[0]
    if isinstance(first, tuple):
        places.note(path, first[0], first[1], first[2], first[3])
