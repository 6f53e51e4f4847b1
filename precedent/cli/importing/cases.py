"""A row as operations, by a mapping compiled once."""

from __future__ import annotations

from collections.abc import Mapping as Lookup

from precedent.cli.importing.conversions import ABSENT, Read, Row, ValueRefused, instant_of, reader_of, test_of
from precedent.cli.importing.model import DecisionMap, EventMap, Mapping, OutcomeMap, Value
from precedent.cli.loading.operation import Kind, Operation, operation
from precedent.clock import to_instant


class Cases:
    """Turns rows into operations; pure, and bound to no row."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.zone = mapping.time_zone
        correlation = mapping.correlation_id
        self.correlation_id: Read = reader_of(correlation, self.zone) if correlation else lambda row: ABSENT
        event, decision, outcome = mapping.event, mapping.decision, mapping.outcome
        self.parts = [part for part in (event, decision, outcome) if part is not None]
        self.actor: Read = reader_of(event.actor, self.zone) if event else lambda row: ABSENT
        self.instants = {id(part): instant_of(part.at, self.zone) for part in self.parts}
        self.has_outcome = test_of(outcome.when if outcome else None)
        self.payload = self._readers(event.payload if event else {})
        self.facts = self._readers(decision.facts if decision else {})
        self.metrics = self._readers(outcome.metrics if outcome else {})

    def _readers(self, values: Lookup[str, Value]) -> dict[str, Read]:
        return {name: reader_of(value, self.zone) for name, value in values.items()}

    def operations(self, number: int, row: Row) -> list[Operation]:
        """The operations of one row, in the order of their kinds: all of them, or none.

        Raises: ValueRefused.
        """
        correlation_id = self.correlation_id(row)
        shared = {} if correlation_id is ABSENT else {"correlation_id": correlation_id}
        made: list[Operation] = []
        for part in self.parts:
            if isinstance(part, OutcomeMap) and not self.has_outcome(row):
                continue
            at_us = self.instants[id(part)](row)
            made.append(self._one(part, number, row, at_us, shared))
            if at_us < made[0].at_us:
                raise ValueRefused("BACKWARDS", "what came of it lies before what it came of")
        return made

    def _one(self, part: EventMap | DecisionMap | OutcomeMap, number: int, row: Row, at_us: int, shared: dict[str, object]) -> Operation:
        at = to_instant(at_us)
        match part:
            case EventMap():
                head = {"type": part.type, "actor": self.actor(row), "ts": at, "as_of": at, "source": self.mapping.name}
                return operation(Kind.EVENT, number, at_us, {**head, **shared, "payload": _filled(self.payload, row)})
            case DecisionMap():
                action = {"action": part.action} if part.action else {}
                return operation(Kind.DECISION, number, at_us, {**action, "facts": _filled(self.facts, row), "as_of": at, **shared})
            case OutcomeMap():
                metrics = _filled(self.metrics, row)
                return operation(Kind.OUTCOME, number, at_us, {"metrics": metrics, "observed_at": at, "as_of": at})


def _filled(readers: dict[str, Read], row: Row) -> dict[str, object]:
    return {name: value for name, read in readers.items() if (value := read(row)) is not ABSENT}
