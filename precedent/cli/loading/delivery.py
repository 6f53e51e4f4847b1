"""Sends windows through the client, one at a time, and takes the answers apart.

One window at a time keeps the ledger in business time's order and an interruption within one window; batches are large
enough that neither side waits for the other for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from precedent.cli.loading.journal import Journal
from precedent.cli.loading.operation import OUTCOMES, Kind, Operation
from precedent.cli.loading.spool import Spool
from precedent.cli.loading.tally import Rejected, Tally
from precedent.cli.loading.window import WINDOW_LIMIT, Rows, Window, batch_key, cut
from precedent.client import AnswerUnreadable, Client, InputNotAccepted, Patience, faults_of, refusal_of
from precedent.client_calls import Call

OF_THE_LOAD = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back for one kind of a window: the accepted answers by row, and the rest."""

    accepted: dict[int, dict[str, Any]]
    rejected: list[Rejected]


@dataclass(slots=True)
class Delivery:
    """One load: `load_id` names it for ever, so that its keys are the same in every run."""

    client: Client
    load_id: str
    node: str | None
    spool: Spool
    journal: Journal
    on_progress: Callable[[int], None] = lambda count: None
    sent: int = 0

    def run(self, *, with_answered: bool) -> tuple[Tally, list[Rejected]]:
        """Send what the journal began and all the rest; what the API took, over all runs, and what it rejected.

        Windows that were answered are sent again only `with_answered`: the API then gives its first answers, or, when its
        database is another, takes them anew.

        Raises: Unreachable; Refused for what is wrong with the load as a whole.
        """
        self.spool.finish()
        known = self.journal.recorded
        places = [self._places(rows) for rows in known]
        for number, found in enumerate(places):
            if number in self.journal.answered and not with_answered:
                self.on_progress(len(found or ()))
            elif found is not None:
                self._deliver(number, self._window(found))
        sent = [place for rows in known for place in self._held(rows)]
        for window in cut(self.spool.in_order(without=sent), WINDOW_LIMIT):
            self._deliver(self.journal.begin(window.rows()), window)
        return self._total()

    def _total(self) -> tuple[Tally, list[Rejected]]:
        tally, rejected = Tally(), []
        for one, refusals in self.journal.answered.values():
            tally += one
            rejected += refusals
        return tally, rejected

    def _held(self, rows: Rows) -> Iterator[int]:
        for kind in Kind:
            for row in rows[kind]:
                if (place := self.spool.place_of(kind, row)) is not None:
                    yield place

    def _places(self, rows: Rows) -> list[int] | None:
        """Where a recorded window's operations are; None when this run, under a smaller limit, doesn't have them all."""
        found = list(self._held(rows))
        return found if len(found) == sum(map(len, rows)) else None

    def _window(self, places: list[int]) -> Window:
        window = Window()
        for place in places:
            one = self.spool.read(place)
            window.parts[one.kind].append(one)
        return window

    def _deliver(self, number: int, window: Window) -> None:
        tally = Tally()
        events = self._events(window.parts[Kind.EVENT])
        tally.events = len(events.accepted)
        event_ids = {row: str(answer["id"]) for row, answer in events.accepted.items()}
        refused = {one.row for one in events.rejected}
        decisions = self._decisions([one for one in window.parts[Kind.DECISION] if one.row not in refused], event_ids)
        for answer in decisions.accepted.values():
            tally.add_decision(answer)
        outcomes = self._outcomes([one for kind in OUTCOMES for one in window.parts[kind]], decisions.accepted)
        for answer in outcomes.accepted.values():
            tally.add_outcome(answer)
        self.journal.finish(number, decisions.accepted, tally, events.rejected + decisions.rejected + outcomes.rejected)
        self.on_progress(len(window))

    def _events(self, operations: list[Operation]) -> Answers:
        return self._answers("/events", Kind.EVENT, operations, [one.body for one in operations], b"[", b"]")

    def _decisions(self, operations: list[Operation], event_ids: dict[int, str]) -> Answers:
        bodies = [one.body_with("event_id", event_ids.get(one.row)) for one in operations]
        path = f"/decisions/{quote(self.node or '', safe='')}/batch"
        return self._answers(path, Kind.DECISION, operations, bodies, b'{"decisions":[', b"]}")

    def _outcomes(self, operations: list[Operation], fresh: dict[int, dict[str, Any]]) -> Answers:
        """A row whose decision was rejected has none to send: it was counted there."""
        sent: list[Operation] = []
        bodies: list[bytes] = []
        for one in sorted(operations, key=lambda one: (one.at_us, one.row)):
            answer = fresh.get(one.row)
            decided = self.journal.decided.get(one.row) if answer is None else (str(answer["id"]), answer["verdict"] == "approve")
            if decided is not None and one.kind != (Kind.OUTCOME_IF_NOT if decided[1] else Kind.OUTCOME_IF_APPROVED):
                sent.append(one)
                bodies.append(one.body_with("decision_id", decided[0]))
        return self._answers("/outcomes", Kind.OUTCOME, sent, bodies, b'{"outcomes":[', b"]}")

    def _answers(self, path: str, kind: Kind, operations: list[Operation], bodies: list[bytes], head: bytes, tail: bytes) -> Answers:
        """The API's word on each operation.

        Raises: Unreachable; Refused for what isn't about one row: a right that is missing, a node that isn't there.
        """
        accepted: dict[int, dict[str, Any]] = {}
        rejected: list[Rejected] = []
        if operations:
            self.sent += len(operations)
            key = batch_key(self.load_id, kind, (one.row for one in operations))
            elements = self._send(Call("POST", path, head + b",".join(bodies) + tail, key), len(operations))
            for one, element in zip(operations, elements, strict=True):
                if not _is_problem(element):
                    accepted[one.row] = element
                elif element["status"] in OF_THE_LOAD:
                    raise refusal_of(element["status"], element)
                else:
                    rejected.append(_rejected(one.row, kind.name.lower(), element))
        return Answers(accepted, rejected)

    def _send(self, call: Call, count: int) -> list[dict[str, Any]]:
        """The elements' answers. A batch of which a part met a passing fault is sent again: its key keeps the rest from doubling."""
        patience = Patience(self.client.clock, self.client.patience_seconds)
        while True:
            elements = _elements(self._whole(call), count)
            passing = [element for element in elements if _is_problem(element) and element["status"] >= 500]
            if not passing:
                return elements
            if (seconds := patience.pause()) is None:
                raise refusal_of(passing[0]["status"], passing[0])
            self.client.pause(seconds)

    def _whole(self, call: Call) -> Any:
        """The answer to a batch; of events, one that refuses every element is an answer, too."""
        try:
            return self.client.send(call)
        except InputNotAccepted as refusal:
            if "rejected" in refusal.content:
                return refusal.content
            raise


def _elements(answer: Any, count: int) -> list[dict[str, Any]]:
    """One object an element: of `answers` as they are, of `ids` (null where `rejected` has the problem) made alike."""
    held = answer if isinstance(answer, dict) else {}
    elements: list[Any]
    if "ids" in held:
        problems = {one["index"]: one for one in held.get("rejected", [])}
        elements = [{"id": one} if one is not None else problems.get(place) for place, one in enumerate(held["ids"])]
    else:
        elements = held.get("answers") or []
    if len(elements) != count or not all(isinstance(one, dict) for one in elements):
        raise AnswerUnreadable(f"couldn't read the answer to a batch: it doesn't answer each of {count}")
    return elements


def _is_problem(element: dict[str, Any]) -> bool:
    return isinstance(element.get("status"), int) and "id" not in element and "decision_id" not in element


def _rejected(row: int, step: str, problem: dict[str, Any]) -> Rejected:
    words = "; ".join(fault.message for fault in faults_of(problem)) or str(problem.get("detail") or problem.get("title"))
    return Rejected(row, step, str(problem.get("code", "UNKNOWN")), words)
