import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import orjson
import pytest
from books import Books

from precedent.cli.loading.delivery import Delivery
from precedent.cli.loading.journal import Journal, LoadRunning
from precedent.cli.loading.operation import Kind, operation
from precedent.cli.loading.spool import Spool
from precedent.cli.loading.tally import Rejected, Tally
from precedent.client import AccessRefused, Client, Unreachable
from precedent.clock import SystemClock


class Crash(Exception):
    """The process ends here."""


class HurriedClock(SystemClock):
    """Waits nowhere and runs out of patience quickly: each look at it is a second later."""

    def __init__(self) -> None:
        self.seconds = 0

    def monotonic_ns(self) -> int:
        self.seconds += 1
        return self.seconds * 1_000_000_000


def cases(count: int, *, amount: int = 100) -> Iterator[tuple[Kind, int, int, dict[str, object]]]:
    """Case n asks at n minutes and closes 300 minutes later; rows are in no order of time."""
    for row in range(1, count + 1):
        minute = (row * 37) % count
        at_us = minute * 60_000_000
        yield Kind.EVENT, row, at_us, {"type": "Asked", "n": row}
        yield Kind.DECISION, row, at_us, {"facts": {"amount": amount + row}, "n": row}
        yield Kind.OUTCOME, row, at_us + 300 * 60_000_000, {"metrics": {"won": row % 2 == 0}, "n": row}


def deliver(
    books: Books,
    folder: Path,
    count: int = 500,
    *,
    with_answered: bool = False,
    patience_seconds: float = 20,
    crash_after: int | None = None,
) -> tuple[Tally, list[Rejected]]:
    """One run of a load; `crash_after` windows it ends as a killed process does, without a word to its journal."""
    progress = 0

    def count_down(size: int) -> None:
        nonlocal progress
        progress += 1
        if crash_after is not None and progress > crash_after:
            raise Crash

    transport = httpx2.MockTransport(books)
    with (
        Journal(folder / "load.ndjson") as journal,
        Spool(folder) as spool,
        Client(
            "http://api.test", "t", clock=HurriedClock(), patience_seconds=patience_seconds, transport=transport, pause=lambda _: None
        ) as client,
    ):
        for one in cases(count):
            spool.add(operation(*one))
        return Delivery(client, "load", "credit", spool, journal, count_down).run(with_answered=with_answered)


def recorded(books: Books, kind: str) -> list[int]:
    return [entry["n"] for entry in books.entries if entry["kind"] == kind]


def require_each_once(books: Books, count: int = 500) -> None:
    for kind in ("event", "decision", "outcome"):
        assert sorted(recorded(books, kind)) == list(range(1, count + 1)), kind


def test_everything_arrives_once_in_the_order_of_business_time(tmp_path: Path) -> None:
    books = Books()
    tally, rejected = deliver(books, tmp_path)
    require_each_once(books)
    in_time = sorted(range(1, 501), key=lambda row: (row * 37) % 500)
    assert recorded(books, "event") == recorded(books, "decision") == recorded(books, "outcome") == in_time
    assert (tally.events, tally.decisions, tally.outcomes, rejected) == (500, 500, 500, [])
    assert tally.verdicts == {"approve": 500}
    assert tally.reward_sum == 250


def test_decisions_name_their_event_and_outcomes_their_decision(tmp_path: Path) -> None:
    books = Books()
    deliver(books, tmp_path, 300)
    ids = {(entry["kind"], entry["n"]): str(uuid.UUID(int=place)) for place, entry in enumerate(books.entries, start=1)}
    for entry in books.entries:
        if entry["kind"] == "decision":
            assert entry["event_id"] == ids["event", entry["n"]]
        if entry["kind"] == "outcome":
            assert entry["decision_id"] == ids["decision", entry["n"]]


def test_an_api_that_goes_away_loses_and_doubles_nothing(tmp_path: Path) -> None:
    books = Books(fails_but_persists=lambda request: len(books.requests) == 5, fails=lambda request: len(books.requests) in {2, 3, 9})
    deliver(books, tmp_path)
    require_each_once(books)


@pytest.mark.parametrize("lost", range(1, 10))
def test_an_interrupted_load_goes_on_without_doubles(tmp_path: Path, lost: int) -> None:
    books = Books(fails_but_persists=lambda request: len(books.requests) >= lost)
    with pytest.raises(Unreachable):
        deliver(books, tmp_path, patience_seconds=0)
    sent = len(books.requests)
    books.fails_but_persists = lambda request: False
    tally, _ = deliver(books, tmp_path)
    require_each_once(books)
    assert (tally.events, tally.decisions, tally.outcomes) == (500, 500, 500)
    assert len(books.requests) - sent <= 12


@pytest.mark.parametrize("windows", range(4))
def test_a_killed_load_goes_on_without_doubles(tmp_path: Path, windows: int) -> None:
    books = Books()
    with pytest.raises(Crash):
        deliver(books, tmp_path, crash_after=windows)
    journal = tmp_path / "load.ndjson"
    kept = journal.read_bytes()
    for torn in (kept, kept[:-7], b"".join(kept.splitlines(keepends=True)[:-1])):
        journal.write_bytes(torn)
        tally, _ = deliver(books, tmp_path)
        require_each_once(books)
        assert tally.decisions == 500


def test_running_again_from_the_start_gets_the_first_answers(tmp_path: Path) -> None:
    books = Books()
    first, _ = deliver(books, tmp_path)
    sent = len(books.requests)
    again, _ = deliver(books, tmp_path, with_answered=True)
    assert len(books.requests) == 2 * sent
    assert again == first
    require_each_once(books)


def test_without_its_journal_a_load_still_doubles_nothing(tmp_path: Path) -> None:
    books = Books()
    deliver(books, tmp_path)
    (tmp_path / "load.ndjson").unlink()
    deliver(books, tmp_path)
    require_each_once(books)


@pytest.mark.parametrize("with_answered", [True, False])
def test_a_longer_load_goes_on_from_a_shorter_one(tmp_path: Path, with_answered: bool) -> None:
    books = Books()
    with Journal(tmp_path / "load.ndjson") as journal, Spool(tmp_path) as spool:
        client = Client("http://api.test", transport=httpx2.MockTransport(books))
        for one in cases(500):
            if one[1] <= 130:
                spool.add(operation(*one))
        Delivery(client, "load", "credit", spool, journal).run(with_answered=with_answered)
    assert len(recorded(books, "decision")) == 130
    deliver(books, tmp_path, with_answered=with_answered)
    require_each_once(books)


def test_a_rejected_decision_is_told_and_its_outcome_not_sent(tmp_path: Path) -> None:
    books = Books(refuses=lambda one: (422, "FACTS_INVALID") if one["kind"] == "decision" and one["n"] == 7 else None)
    tally, rejected = deliver(books, tmp_path)
    assert [(one.row, one.step, one.code) for one in rejected] == [(7, "decision", "FACTS_INVALID")]
    assert (tally.events, tally.decisions, tally.outcomes) == (500, 499, 499)


def test_a_rejected_event_takes_its_decision_along(tmp_path: Path) -> None:
    books = Books(refuses=lambda one: (422, "FIELD_INVALID") if one["kind"] == "event" and one["n"] == 7 else None)
    tally, rejected = deliver(books, tmp_path)
    assert [(one.row, one.step) for one in rejected] == [(7, "event")]
    assert (tally.events, tally.decisions, tally.outcomes) == (499, 499, 499)


def test_a_batch_of_events_that_are_all_rejected_is_told_row_by_row(tmp_path: Path) -> None:
    books = Books(refuses=lambda one: (422, "FIELD_INVALID") if one["kind"] == "event" else None)
    tally, rejected = deliver(books, tmp_path, 10)
    assert (len(rejected), tally.decisions) == (10, 0)


def test_an_element_that_met_a_passing_fault_is_sent_again(tmp_path: Path) -> None:
    left = [3]

    def refuse(one: dict[str, object]) -> tuple[int, str] | None:
        if one["kind"] == "decision" and one["n"] == 7 and left[0]:
            left[0] -= 1
            return 503, "QUEUE_FULL"
        return None

    books = Books(refuses=refuse)
    tally, rejected = deliver(books, tmp_path)
    require_each_once(books)
    assert (tally.decisions, rejected) == (500, [])


def test_a_missing_right_ends_the_load_instead_of_rejecting_each_row(tmp_path: Path) -> None:
    books = Books(refuses=lambda one: (403, "SCOPE_MISSING"))
    with pytest.raises(AccessRefused):
        deliver(books, tmp_path)
    assert len(books.requests) == 1


def test_of_two_possible_outcomes_the_one_that_fits_the_verdict_is_sent(tmp_path: Path) -> None:
    books = Books()
    with Journal(tmp_path / "load.ndjson") as journal, Spool(tmp_path) as spool:
        for row, amount in ((1, 10), (2, 5000)):
            spool.add(operation(Kind.DECISION, row, row, {"facts": {"amount": amount}}))
            spool.add(operation(Kind.OUTCOME_IF_APPROVED, row, 10, {"metrics": {"won": True}}))
            spool.add(operation(Kind.OUTCOME_IF_NOT, row, 10, {"metrics": {"won": False}}))
        Delivery(Client("http://api.test", transport=httpx2.MockTransport(books)), "load", "n", spool, journal).run(with_answered=False)
    assert [entry["metrics"]["won"] for entry in books.entries if entry["kind"] == "outcome"] == [True, False]


def test_two_processes_cannot_run_the_same_load(tmp_path: Path) -> None:
    with Journal(tmp_path / "load.ndjson"), pytest.raises(LoadRunning):
        Journal(tmp_path / "load.ndjson")


def test_the_journal_says_what_was_decided(tmp_path: Path) -> None:
    deliver(Books(), tmp_path, 20)
    lines = [orjson.loads(line) for line in (tmp_path / "load.ndjson").read_bytes().splitlines()]
    assert [sorted(line) for line in lines] == [["rows", "window"], ["answered", "decided", "rejected", "tally"]]
    with Journal(tmp_path / "load.ndjson") as journal:
        assert all(journal.decided.get(row) is not None for row in range(1, 21))
        assert journal.decided.get(21) is None
        assert journal.decided.get(0) is None
