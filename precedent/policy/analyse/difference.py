"""Where two versions of an action answer differently: regions that together leave nothing out, each with a case both answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from precedent.errors import FactsInvalid
from precedent.policy.analyse.boxes import Atom, Box, atoms_of, box_around
from precedent.policy.analyse.inputs import ContractsDiffer, Inputs
from precedent.policy.analyse.solver import Answer as Reached
from precedent.policy.analyse.solver import Questions
from precedent.policy.analyse.values import Bool, Truth, both, either, negate
from precedent.policy.analyse.walk import GRANTED, Ending, Walk, walk_of
from precedent.policy.analyse.wishes import wishes_of
from precedent.policy.analyse.witness import Answer, Witness, put
from precedent.policy.compile import CompiledPolicy
from precedent.policy.result import Control
from precedent.policy.scope import MOMENT
from precedent.policy.thresholds import Value

REGION_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Region:
    """A part of all inputs in which `before` became `after`; `witness` is one of them, as a request writes it."""

    description: str
    witness: Witness
    before: Answer
    after: Answer

    def as_json(self) -> dict[str, Any]:
        return {
            "where": self.description, "case": self.witness.as_json(), "before": self.before.as_json(), "after": self.after.as_json(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference(Sequence[Region]):
    """The regions in which two versions differ; all of them where `open` is empty, else it says what isn't known.

    They are about requests that both versions accept; `contract` says which facts that leaves apart.
    """

    action: str
    regions: tuple[Region, ...]
    open: tuple[str, ...] = ()
    contract: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "action": self.action, "regions": [region.as_json() for region in self.regions], "open": list(self.open),
            "contract": list(self.contract),
        }  # fmt: skip

    @property
    def is_complete(self) -> bool:
        return not self.open

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    @overload
    def __getitem__(self, index: int) -> Region: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Region, ...]: ...
    def __getitem__(self, index: int | slice) -> Region | tuple[Region, ...]:
        return self.regions[index]


def semantic_difference(
    a: CompiledPolicy,
    b: CompiledPolicy,
    action: str,
    timeout_seconds: float = 10.0,
    control: Control = GRANTED,
    usual: Mapping[str, Value] | None = None,
) -> Difference:
    """Where `b` answers with another verdict or level than `a`, for inputs that both accept; `timeout_seconds` for each question.

    `usual` are typed facts that witnesses take where they may.
    """
    for policy in (a, b):
        if action not in policy.actions:
            return Difference(action, (), (f"{policy.document.ref} has no action '{action}'",))
    try:
        return _Comparison(a, b, action, timeout_seconds, control, usual or {}).difference()
    except ContractsDiffer as differ:
        return Difference(action, (), (str(differ),))


class _Comparison:
    def __init__(
        self, a: CompiledPolicy, b: CompiledPolicy, action: str, timeout_seconds: float, control: Control, usual: Mapping[str, Value]
    ) -> None:
        self.action, self.control, self.usual = action, control, usual
        if a.document.time_zone != b.document.time_zone and any(_reads_clock(policy, action) for policy in (a, b)):
            raise ContractsDiffer("time_zone")
        self.ask = Questions((), timeout_seconds)
        inputs = self.inputs = Inputs()
        shared: dict[str, Truth] = {}
        # a feature that is absent may have one value in one version and another in the other: then the same words differ
        is_shared = a.actions[action].features == b.actions[action].features
        free = {a.document.digest_hex: shared, b.document.digest_hex: shared if is_shared else {}}
        self.walks = tuple(
            walk_of(policy, action, inputs, self.ask, free[policy.document.digest_hex], control, side)
            for policy, side in ((a, "before/"), (b, "after/"))
        )
        self.ask.add(*inputs.domain())
        self.ask.wishes = wishes_of(inputs, usual)
        self.atoms: list[Atom] = atoms_of(self.walks, free)
        self.open: list[str] = [
            f"{walk.policy.document.ref}: '{part.rule.rule.name}' isn't analysable as a whole: {part.why}"
            for walk in self.walks for part in walk.opened
        ]  # fmt: skip

    def difference(self) -> Difference:
        regions: list[Region] = []
        before, after = self.walks
        if self.ask.ask() is not Reached.YES:
            self.open.append("no request is known that both versions accept")
        for one, is_one in before.endings:
            differing = [(two, is_two) for two, is_two in after.endings if (one.verdict, one.level) != (two.verdict, two.level)]
            if self.none(is_one, differing):
                continue
            for two, is_two in differing:
                regions += self.between(one, two, both(is_one, is_two), REGION_LIMIT - len(regions))
        return Difference(self.action, tuple(regions), tuple(dict.fromkeys(self.open)), tuple(_contract(before, after)))

    def none(self, is_one: Bool, differing: Sequence[tuple[Ending, Bool]]) -> bool:
        return self.ask.ask(is_one, either(*(is_two for _, is_two in differing))) is Reached.NO

    def between(self, one: Ending, two: Ending, target: Bool, limit: int) -> Iterator[Region]:
        """The regions in which the one ending became the other, largest parts first come; their boxes may overlap."""
        excluded: list[Bool] = []
        what = f"from {one.rule} ({one.verdict}) to {two.rule} ({two.verdict})"
        while True:
            reply = self.ask.find(target, *excluded)
            if reply.answer is Reached.NO:
                return
            if reply.answer is Reached.OPEN or len(excluded) >= limit:
                self.open.append(f"{what}: " + ("not answered in time" if reply.answer is Reached.OPEN else "there are more regions"))
                return
            box = box_around(reply.model, target, self.atoms, self.ask)
            region = self.region(reply.model, box, one, two)
            if box is None or region is None:
                self.open.append(f"{what}: " + ("its bounds weren't found in time" if box is None else "the evaluator doesn't confirm it"))
                return
            yield region
            excluded.append(negate(box.condition))

    def region(self, model: Any, box: Box | None, one: Ending, two: Ending) -> Region | None:
        case = self.inputs.case(model)
        before, after = self.walks
        try:
            left = put(before.policy, self.action, case, self.control, self.usual).witness
            right = put(after.policy, self.action, case, self.control, self.usual).witness
        except FactsInvalid:
            return None
        for ending, answer in ((one, left.answer), (two, right.answer)):
            if (ending.verdict, ending.level, ending.rule) != (answer.verdict, answer.level, answer.rule):
                return None
        description = box.words({**before.compiled.scope, **after.compiled.scope}) if box else ""
        joint = Witness({**left.facts, **right.facts}, {**left.memory, **right.memory}, right.now, right.answer)
        return Region(description, joint, left.answer, right.answer)


def _contract(before: Walk, after: Walk) -> Iterator[str]:
    """The facts that one version takes and the other doesn't, or bounds otherwise."""
    old, new = before.compiled.action.facts, after.compiled.action.facts
    for name in {**old, **new}:
        if name not in new or name not in old:
            yield f"{name}: only in {(before if name in old else after).policy.document.ref}"
        elif old[name] != new[name]:
            yield f"{name}: declared otherwise"


def _reads_clock(policy: CompiledPolicy, action: str) -> bool:
    compiled = policy.actions[action]
    return any(name in rule.reads for rule in (*compiled.guards, *compiled.bands) for name in MOMENT)
