"""Rules compiled once at load: type-checked CEL, converted numbers, words, thresholds; every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from precedent.errors import PolicyInvalid
from precedent.policy.chain import Chain, chain_of
from precedent.policy.checks import Checks, Setting, check_invariants, environment_of
from precedent.policy.explain import PLACEHOLDER, Shortfall, Words, shortfall_of, write_value
from precedent.policy.expression import Term, parse_expression, substitute
from precedent.policy.hints import explaining
from precedent.policy.model import Action, Document, Rule
from precedent.policy.nearest import Aims, aims_of
from precedent.policy.quantity import SHARE_TYPES, QuantityRefused, scale_written
from precedent.policy.scope import Places, Variable, action_scope, names_read, refusal, reward_scope
from precedent.policy.structure import first_problems
from precedent.policy.thresholds import Threshold, thresholds_of
from precedent.policy.units import decimals_of_unit, kind_of_unit

_PYTHON: dict[str, type] = {"int": int, "bool": bool, "string": str}
SUCCESS_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule that can be evaluated. `condition` is what `expression` was compiled from, `reads` are the names that it reads.

    `numbers` are in integer units; `atoms` are the parts between && and ||, for coverage: as written, and with the numbers filled in.
    """

    rule: Rule
    condition: str
    expression: Any
    reads: tuple[str, ...]
    numbers: dict[str, int]
    words: Words
    shortfall: Shortfall
    thresholds: tuple[Threshold, ...]
    is_all_thresholds: bool
    atoms: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CompiledAction:
    """One action's rules with their shared environment. `inputs` are (fact, name in rules, Python type, may be absent).

    `rules` are guards and bands in the order in which they are asked, `reads` all that they read, `chain` asks them at once.
    """

    action: Action
    scope: dict[str, Variable]
    environment: Any
    inputs: tuple[tuple[str, str, type, bool], ...]
    features: tuple[tuple[str, str, type, int | bool | str | None], ...]
    guards: tuple[CompiledRule, ...]
    bands: tuple[CompiledRule, ...]
    otherwise: CompiledRule
    rules: tuple[CompiledRule, ...]
    reads: tuple[str, ...]
    chain: Chain
    aims: Aims
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
    with explaining(document.source):
        return _compile(document)


def _compile(document: Document) -> CompiledPolicy:
    places = Places(document.root, document.source, document.file)
    actions = {name: _ActionCompiler(action, places).compile() for name, action in document.actions.items()}
    check_invariants(document, places)
    if places.problems:
        raise PolicyInvalid(first_problems(places.problems))
    return CompiledPolicy(document, {name: compiled for name, compiled in actions.items() if compiled is not None})


class _ActionCompiler:
    def __init__(self, action: Action, places: Places) -> None:
        self.action = action
        self.places = places
        self.checks = Checks(places)
        self.scope = action_scope(action)
        self.environment = environment_of(self.scope)
        self.success = _reward_setting(action)

    def compile(self) -> CompiledAction | None:
        before = len(self.places.problems)
        reward = self.checks.parse(self.success, self.action.reward.success) if self.action.reward else None
        guards = [self.rule(rule, None) for rule in self.action.guards]
        bands = [self.rule(rule, reward) for rule in self.action.bands]
        otherwise = self.rule(self.action.otherwise, None)
        success = self.reward(reward)
        if len(self.places.problems) > before or otherwise is None:
            return None
        held_guards, held_bands = tuple(filter(None, guards)), tuple(filter(None, bands))
        rules = (*held_guards, *held_bands)
        simple_guards = [guard.thresholds[0] for guard in held_guards if guard.is_all_thresholds and len(guard.thresholds) == 1]
        readable = [fact for fact in self.action.facts.values() if fact.is_readable]
        return CompiledAction(
            action=self.action,
            scope=self.scope,
            environment=self.environment,
            inputs=tuple((fact.name, *self.python(f"facts.{fact.name}"), fact.optional) for fact in readable),
            features=tuple((name, *self.python(f"memory.{name}"), missing) for name, missing in self.action.memory.items()),
            guards=held_guards,
            bands=held_bands,
            otherwise=otherwise,
            rules=rules,
            reads=tuple(sorted({name for rule in rules for name in rule.reads})),
            chain=chain_of([rule.condition for rule in rules], self.environment),
            aims=aims_of([(band.rule.level, band.thresholds) for band in held_bands], simple_guards, self.scope),
            reward=success,
            reward_reads=names_read(reward) if reward else (),
            reward_environment=self.success.environment(),
        )

    def python(self, name: str) -> tuple[str, type]:
        return name, _PYTHON[self.scope[name].type]

    def rule(self, rule: Rule, reward: Term | None) -> CompiledRule | None:
        setting = Setting((*rule.path, "when"), self.scope, rule.kind, frozenset(rule.numbers))
        root = parse_expression("true") if rule.kind == "otherwise" else self.checks.parse(setting, rule.when)
        if root is None:
            return None
        units = self.checks.units(setting, root)
        if reward is not None:
            units = self.checks.units(self.success, reward, units)
        typed = {f"{rule.kind}.{name}": self.number(rule, name, units.get(f"{rule.kind}.{name}")) for name in rule.numbers}
        condition = substitute(rule.when, root, typed)
        expression = self.checks.compiled(setting, rule.when, condition, self.environment, (cel.Type.BOOL,))
        thresholds, is_all = thresholds_of(root, self.scope, typed) if rule.kind != "otherwise" else ((), True)
        words = self.words(rule, thresholds if is_all else (), typed, units)
        if expression is None or words is None:
            return None
        return CompiledRule(
            rule=rule,
            condition=condition,
            expression=expression,
            reads=tuple(name for name in names_read(root) if name in self.scope),
            numbers={name: typed[f"{rule.kind}.{name}"] for name in rule.numbers},
            words=words,
            shortfall=shortfall_of(rule.name, thresholds, self.scope),
            thresholds=thresholds,
            is_all_thresholds=is_all,
            atoms=tuple((rule.when[atom.start : atom.end], substitute(rule.when, atom, typed)) for atom in root.atoms()),
        )

    def number(self, rule: Rule, name: str, unit: str | None) -> int:
        try:
            return scale_written(rule.numbers[name], decimals_of_unit(unit), is_share=unit in SHARE_TYPES)
        except QuantityRefused as refused:
            why = refused.message if unit else f"{refused.message}, and it is compared with nothing that has decimals"
            self.places.note((*rule.path, "with", name), refused.code, f"{name}: {why}")
            return 0

    def words(self, rule: Rule, thresholds: tuple[Threshold, ...], numbers: dict[str, int], units: dict[str, str]) -> Words | None:
        if rule.text is None:
            return Words(rule.reason, (), thresholds, _closing(rule))
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
                code = "PERSONAL_IN_TEXT" if code == "PERSONAL_IN_RULE" else code
                self.places.note((*rule.path, "text"), code, message, suggestion, found.start() + 1)
                return None
            pieces += [literal, name]
            literal = ""
        return Words(rule.reason, (*pieces, literal + rule.text[at:]))

    def reward(self, root: Term | None) -> Any:
        if root is None or self.action.reward is None:
            return None
        if not self.action.bands:
            self.checks.units(self.success, root)
        text = self.action.reward.success
        return self.checks.compiled(self.success, text, text, self.success.environment(), (cel.Type.BOOL, cel.Type.INT))


def _reward_setting(action: Action) -> Setting:
    """What the reward may read: the outcome, and the numbers that every band has."""
    held = [frozenset(band.numbers) for band in action.bands]
    shared = frozenset.intersection(*held) if held else frozenset()
    partial = frozenset().union(*held) - shared
    return Setting(("actions", action.name, "reward", "success"), reward_scope(action), "band", shared, partial)


def _closing(rule: Rule) -> str:
    if rule.kind == "band":
        return f"within the {rule.name.replace('_', ' ')} band (AL{rule.level})"
    if rule.kind == "guard":
        return f"{rule.name.replace('_', ' ')} {'forbids it' if rule.verdict == 'deny' else 'asks for a person'}"
    return "no band permits this" + (": a person decides" if rule.verdict == "escalate" else "")
