"""Questions to the solver, each with its time; and a model that is like the usual case where it may be."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import z3

from precedent.policy.analyse.values import Bool

WISH_LIMIT = 200


class Answer(enum.Enum):
    YES = "yes"
    NO = "no"
    OPEN = "open"  # not in its time


@dataclass(frozen=True, slots=True)
class Reply:
    """`model` stands beside YES alone."""

    answer: Answer
    model: Any = None

    def says(self, condition: Bool) -> bool:
        """Whether the condition holds in the model."""
        return condition if isinstance(condition, bool) else bool(z3.is_true(self.model.eval(condition, model_completion=True)))


class Questions:
    """One set of assumptions, of which many things are asked. `wishes` are what a case should look like if it can."""

    def __init__(self, assumed: Sequence[Bool], timeout_seconds: float, wishes: Sequence[Bool] = ()) -> None:
        self.solver: Any = z3.Solver()
        self.solver.set("timeout", max(1, int(timeout_seconds * 1000)))
        self.solver.set("random_seed", 7)
        self.wishes = [wish for wish in wishes if wish is not True]
        self.counted = 0
        self.add(*assumed)

    def add(self, *assumed: Bool) -> None:
        """Assumed from now on, in every question."""
        self.solver.add(*(part for part in assumed if part is not True))

    def name(self, what: str, condition: Bool) -> Any:
        """A short name for a condition; many questions then share one definition."""
        if isinstance(condition, bool):
            return condition
        self.counted += 1
        held = z3.Bool(f"{what} #{self.counted}")
        self.solver.add(held == condition)
        return held

    def ask(self, *conditions: Bool) -> Answer:
        """Whether they can all hold."""
        return self._check(conditions)

    def find(self, *conditions: Bool, like_usual: bool = True) -> Reply:
        """An input on which they all hold, as near to the wishes as one gets by giving up those that stand in the way."""
        answer = self._check(conditions)
        if answer is not Answer.YES:
            return Reply(answer)
        model = self.solver.model()
        wishes = list(self.wishes) if like_usual else []
        for _ in range(WISH_LIMIT):
            if not wishes:
                break
            answer = self._check((*conditions, *wishes))
            if answer is Answer.YES:
                return Reply(Answer.YES, self.solver.model())
            if answer is Answer.OPEN:
                break  # a wish isn't worth more than the time of one question
            blamed = {part.get_id() for part in self.solver.unsat_core()}
            kept = [wish for wish in wishes if wish.get_id() not in blamed]
            wishes = kept if len(kept) < len(wishes) else wishes[:-1]
        return Reply(Answer.YES, model)

    def core(self, literals: Sequence[Bool], *conditions: Bool) -> list[int] | None:
        """Places of literals that, together with the conditions, can't hold; none of them is idle. None where that isn't known."""
        formulas = [z3.BoolVal(part) if isinstance(part, bool) else part for part in (*literals, *conditions)]
        held, given = formulas[: len(literals)], formulas[len(literals) :]
        kept = self._blamed(held, list(range(len(held))), given)
        for place in list(kept or ()):
            if kept is not None and place in kept:
                fewer = self._blamed(held, [other for other in kept if other != place], given)
                kept = kept if fewer is None else fewer
        return kept

    def _blamed(self, literals: Sequence[Any], places: list[int], conditions: Sequence[Any]) -> list[int] | None:
        if self.solver.check(*conditions, *(literals[place] for place in places)) != z3.unsat:
            return None
        blamed = {part.get_id() for part in self.solver.unsat_core()}
        return [place for place in places if literals[place].get_id() in blamed]

    def _check(self, conditions: Sequence[Bool]) -> Answer:
        if any(part is False for part in conditions):
            return Answer.NO
        came = self.solver.check(*(part for part in conditions if part is not True))
        return Answer.YES if came == z3.sat else Answer.NO if came == z3.unsat else Answer.OPEN
