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
from precedent.client import AnswerUnreadable, Call, Client, InputNotAccepted


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
        self.sent += len(window)
        self.on_progress(len(window))

    def _events(self, operations: list[Operation]) -> Answers:
        """An array is taken whole or not at all: what the API points at is left out, and the rest sent again."""
        rejected: list[Rejected] = []
        while operations:
            try:
                answer = self._post("/events", Kind.EVENT, operations, [one.body for one in operations], b"[", b"]")
            except InputNotAccepted as refusal:
                faults = {place: fault for fault in refusal.faults if (place := _place(fault.pointer)) is not None}
                if not faults:
                    raise
                rejected += [
                    Rejected(one.row, "event", faults[place].code, faults[place].message)
                    for place, one in enumerate(operations)
                    if place in faults
                ]
                operations = [one for place, one in enumerate(operations) if place not in faults]
                continue
            ids = _listed(answer, "ids", len(operations))
            return Answers({one.row: {"id": ids[place]} for place, one in enumerate(operations)}, rejected)
        return Answers({}, rejected)

    def _decisions(self, operations: list[Operation], event_ids: dict[int, str]) -> Answers:
        bodies = [one.body_with("event_id", event_ids.get(one.row)) for one in operations]
        return self._answers(f"/decisions/{quote(self.node or '', safe='')}/batch", Kind.DECISION, operations, bodies, b"decisions")

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
        return self._answers("/outcomes", Kind.OUTCOME, sent, bodies, b"outcomes")

    def _answers(self, path: str, kind: Kind, operations: list[Operation], bodies: list[bytes], name: bytes) -> Answers:
        if not operations:
            return Answers({}, [])
        answer = self._post(path, kind, operations, bodies, b'{"' + name + b'":[', b"]}")
        accepted: dict[int, dict[str, Any]] = {}
        rejected: list[Rejected] = []
        for one, item in zip(operations, _listed(answer, "answers", len(operations)), strict=True):
            if isinstance(item.get("status"), int):
                rejected.append(_rejected(one.row, kind.name.lower(), item))
            else:
                accepted[one.row] = item
        return Answers(accepted, rejected)

    def _post(self, path: str, kind: Kind, operations: list[Operation], bodies: list[bytes], head: bytes, tail: bytes) -> Any:
        key = batch_key(self.load_id, kind, (one.row for one in operations))
        return self.client.send(Call("POST", path, head + b",".join(bodies) + tail, key))


def _listed(answer: Any, name: str, count: int) -> list[Any]:
    listed = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(listed, list) or len(listed) != count:
        raise AnswerUnreadable(f"couldn't read the answer to a batch: it has no '{name}' of {count}")
    return listed


def _place(pointer: str) -> int | None:
    """The item of an array that a JSON pointer starts at."""
    first = pointer.removeprefix("/").split("/", 1)[0]
    return int(first) if first.isascii() and first.isdecimal() else None


def _rejected(row: int, step: str, problem: dict[str, Any]) -> Rejected:
    words = "; ".join(str(fault.get("message")) for fault in problem.get("errors") or []) or str(
        problem.get("detail") or problem.get("title")
    )
    return Rejected(row, step, str(problem.get("code", "UNKNOWN")), words)
