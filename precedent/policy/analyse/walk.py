"""One action as the evaluator walks it: guards, bands, otherwise, the first that holds; a rule that errs decides as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from precedent.policy.analyse.inputs import Inputs
from precedent.policy.analyse.solver import Questions
from precedent.policy.analyse.translate import Symbol, Translation, Untranslatable
from precedent.policy.analyse.values import Bool, Truth, both
from precedent.policy.compile import CompiledAction, CompiledPolicy, CompiledRule
from precedent.policy.expression import Term, parse_expression
from precedent.policy.result import Control

GRANTED = Control(halted=False, enabled=True, max_level=3)
PERSON = 4
"""What a person's decision needs, above every level that acts."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a decision says: `rule` decided or, where `is_error`, erred."""

    verdict: str
    level: int
    effective: bool
    rule: str
    is_error: bool = False

    @property
    def needs(self) -> int | None:
        """The authority that it takes: the level of what acts, a person's for what waits for one; None for a denial, which takes none."""
        if self.verdict == "deny":
            return None
        return self.level if self.effective else PERSON


@dataclass(frozen=True, slots=True)
class Way:
    """How one rule comes to decide: `holds`, `fails` and `errs` of its condition alone, `reached` where no rule before it decides.

    `there` says that every feature which it reads has a value; it errs without.
    """

    compiled: CompiledRule
    term: Term
    there: Bool
    holds: Bool
    fails: Bool
    errs: Bool
    reached: Bool

    @property
    def name(self) -> str:
        return self.compiled.rule.name

    @property
    def decides(self) -> Bool:
        return both(self.reached, self.holds)


@dataclass(frozen=True, slots=True)
class Opened:
    """A part of a rule that wasn't translated, and why."""

    rule: CompiledRule
    term: Term
    why: str


@dataclass(frozen=True, slots=True)
class Walk:
    """The ways of one action, `otherwise` last, with every ending and where it is reached; the endings leave nothing out."""

    policy: CompiledPolicy
    action: str
    names: Mapping[str, Symbol]
    ways: tuple[Way, ...]
    endings: tuple[tuple[Ending, Bool], ...]
    opened: tuple[Opened, ...]

    @property
    def compiled(self) -> CompiledAction:
        return self.policy.actions[self.action]

    @property
    def rules(self) -> tuple[Way, ...]:
        return self.ways[:-1]

    @property
    def otherwise(self) -> Way:
        return self.ways[-1]


def walk_of(
    policy: CompiledPolicy, action: str, inputs: Inputs, ask: Questions, free: dict[str, Truth], control: Control = GRANTED, side: str = ""
) -> Walk:
    """The walk of an action, whose conditions get names in `ask`; `side` tells two versions apart."""
    compiled = policy.actions[action]
    names = inputs.names(compiled)
    may_be_absent = {f"memory.{name}" for name, _, _, missing in compiled.features if missing is None}
    reached: Bool = True
    ways: list[Way] = []
    endings: list[tuple[Ending, Bool]] = []
    opened: list[Opened] = []
    for rule in (*compiled.guards, *compiled.bands, compiled.otherwise):
        there = inputs.presence(name for name in rule.reads if name in may_be_absent)
        term, truth, refused = _condition_of(rule, names, there, free)
        opened += [Opened(rule, part.term, part.why) for part in refused]
        label = f"{side}{action}/{rule.rule.name}"
        holds, fails = ask.name(f"{label} holds", truth.yes), ask.name(f"{label} does not hold", truth.no)
        errs = ask.name(f"{label} errs", truth.fault)
        before = ask.name(f"{label} is reached", reached)
        ways.append(Way(rule, term, there, holds, fails, errs, before))
        endings.append((ending_of(rule, control), both(before, holds)))
        if errs is not False:
            endings.append((Ending("escalate", 0, False, rule.rule.name, is_error=True), both(before, errs)))
        reached = both(before, fails)
    return Walk(policy, action, names, tuple(ways), tuple(endings), tuple(opened))


def _condition_of(
    rule: CompiledRule, names: Mapping[str, Symbol], there: Bool, free: dict[str, Truth]
) -> tuple[Term, Truth, list[Untranslatable]]:
    """A rule's condition: it errs as well where a feature that it reads isn't `there`, whatever the rest says."""
    text = "true" if rule.rule.kind == "otherwise" else rule.rule.when
    term = parse_expression(text)
    translation = Translation(text, names, {f"{rule.rule.kind}.{name}": value for name, value in rule.numbers.items()}, free)
    truth = translation.condition(term)
    if there is not True:
        truth = Truth(both(there, truth.yes), both(there, truth.no))
    return term, truth, translation.open


def ending_of(rule: CompiledRule, control: Control) -> Ending:
    """What a rule's decision says, as the evaluator concludes it."""
    held = rule.rule
    if held.kind != "band":
        return Ending(held.verdict, 0, held.verdict == "deny", held.name)
    if held.level > control.max_level:
        return Ending("escalate", 0, False, held.name)
    return Ending("approve", held.level, held.level >= 1, held.name)
