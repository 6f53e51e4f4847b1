"""AuthZEN's words read as our questions: which node and action are meant, and which facts the four parts hold together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from api.problems import Problem
from api.requests import Members, field_invalid, pointer_part
from precedent.decide import Question
from precedent.errors import FactsInvalid, FieldInvalid

PARTS = ("subject", "action", "resource", "context")
NO_NAME = "an action's name is its node and its name there, such as finance/approve_discount"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One question, and where in the request each of its facts stands."""

    question: Question
    pointers: Mapping[str, str]
    pointer: str

    def placed(self, error: FactsInvalid) -> FactsInvalid:
        """The same error with pointers into what was sent; a fact that is missing would have stood in the context."""
        prefix = f"{self.question.facts_prefix}/"
        faults = []
        for fault in error.faults:
            name = fault.pointer.removeprefix(prefix)
            faults.append(replace(fault, pointer=self.pointers.get(name, f"{self.pointer}/context/{name}")))
        return FactsInvalid(str(error), faults)


def evaluation_of(members: Mapping[str, Any], pointer: str) -> Evaluation:
    """What subject, action, resource and context ask for.

    Raises: Problem 400, by which the specification answers a request that is not of its form.
    """
    try:
        return _evaluation_of(Members(members, pointer), pointer)
    except FieldInvalid as error:
        raise form_problem(error) from error


def form_problem(error: FieldInvalid) -> Problem:
    return Problem(400, error.code, str(error), [asdict(fault) for fault in error.faults])


def _evaluation_of(read: Members, pointer: str) -> Evaluation:
    subject, action, resource = (Members(read.object(part), f"{pointer}/{part}") for part in PARTS[:3])
    node, _, name = str(action.text("name", is_required=True)).partition("/")
    if not node or not name:
        raise action.fault("name", NO_NAME)
    named = tuple((str(one.text("type", is_required=True)), str(one.text("id", is_required=True))) for one in (subject, resource))
    facts: dict[str, Any] = {}
    pointers: dict[str, str] = {}
    places = [(part.prefix + "/properties", _optional(part, "properties")) for part in (subject, action, resource)]
    for place, values in [*places, (f"{pointer}/context", _optional(read, "context"))]:
        for fact, value in values.items():
            part = pointer_part(fact)
            if fact in facts:
                raise field_invalid(f"{place}/{part}", f"'{fact[:64]}' is named twice, also at {pointers[part]}")
            facts[fact] = value
            pointers[part] = f"{place}/{part}"
    return Evaluation(Question(node, name, facts, f"{pointer}/facts", named=named), pointers, pointer)


def _optional(read: Members, name: str) -> dict[str, Any]:
    return {} if read.values.get(name) is None else read.object(name)
