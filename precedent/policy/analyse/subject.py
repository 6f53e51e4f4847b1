"""One action under analysis: its walk, the solver that knows its domain, and cases put to the real evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from precedent.errors import FactsInvalid
from precedent.policy.analyse.boxes import Atom, atoms_of, box_around
from precedent.policy.analyse.findings import Finding
from precedent.policy.analyse.inputs import Inputs
from precedent.policy.analyse.solver import Questions
from precedent.policy.analyse.values import Bool, Truth
from precedent.policy.analyse.walk import GRANTED, Walk, walk_of
from precedent.policy.analyse.wishes import wishes_of
from precedent.policy.analyse.witness import Trial, put
from precedent.policy.compile import CompiledPolicy
from precedent.policy.result import Control
from precedent.policy.thresholds import Value


@dataclass(frozen=True, slots=True)
class Subject:
    """`free` stands for what wasn't translated; `usual` are typed facts that cases take where they may."""

    walk: Walk
    ask: Questions
    inputs: Inputs
    atoms: tuple[Atom, ...]
    free: dict[str, Truth]
    usual: Mapping[str, Value]
    control: Control
    timeout_seconds: float

    @property
    def action(self) -> str:
        return self.walk.action

    @property
    def environment(self) -> Any:
        return self.walk.compiled.environment

    def trial(self, model: Any, expected: Callable[[Trial], bool]) -> Trial | None:
        """The model's case, put to the real evaluator; None where that doesn't say what is expected."""
        try:
            trial = put(self.walk.policy, self.action, self.inputs.case(model), self.control, self.usual)
        except FactsInvalid:
            return None
        return trial if expected(trial) else None

    def region(self, model: Any, target: Bool, more: tuple[Atom, ...] = ()) -> str | None:
        """The bounds around the model's case in words; None where they weren't found."""
        box = box_around(model, target, [*self.atoms, *more], self.ask)
        return None if box is None else box.words(self.walk.compiled.scope)

    def open(self, path: tuple[str | int, ...], what: str, is_answered: bool = False) -> Finding:
        """A question that has no answer; where it is answered, the evaluator didn't confirm the case."""
        if is_answered:
            return Finding("NOT_CONFIRMED", "open", self.action, f"{what}: the evaluator doesn't confirm the solver's case", path)
        return Finding("UNKNOWN", "open", self.action, f"{what}: not answered within {self.timeout_seconds:g} s", path)


def subject_of(
    policy: CompiledPolicy, action: str, timeout_seconds: float, usual: Mapping[str, Value], control: Control = GRANTED
) -> Subject:
    """The action ready to be asked about."""
    ask, inputs, free = Questions((), timeout_seconds), Inputs(), dict[str, Truth]()
    walk = walk_of(policy, action, inputs, ask, free, control)
    ask.add(*inputs.domain())
    ask.wishes = wishes_of(inputs, usual)
    atoms = tuple(atoms_of([walk], {policy.document.digest_hex: free}))
    return Subject(walk, ask, inputs, atoms, free, usual, control, timeout_seconds)
