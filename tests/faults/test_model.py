"""The append against a list: whatever is asked, lost, repeated or taken back, the ledger is what a list in memory would be.

Hypothesis makes up the requests: batches of several kinds, old and present epochs, keys claimed before, people named before,
retries of any earlier request, other bytes under a known id, transactions rolled back, and a Writer behind a proxy that cuts
its connection before, within and after the commit. After each step the stored chain is read again by code of its own.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import pytest
import sample_entries as sample
from cutting import Cut, CuttingProxy
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from independent import require_chain

from precedent.db.engine import API, connect
from precedent.errors import LedgerBroken
from precedent.ledger.entry import Answer, Appended, Claimed, Draft, Kind, NewSubject, Stale, SubjectMoved
from precedent.ledger.keyring import seal
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import Writer, append


@dataclass(frozen=True, slots=True)
class Shape:
    """What an entry is asked to be; small numbers, so that keys and people meet again."""

    kind: Kind
    is_stale: bool | None  # None: of no epoch
    key: int | None
    person: int | None


SHAPES = st.builds(
    Shape,
    kind=st.sampled_from([Kind.EVENT, Kind.EVENT, Kind.DECISION, Kind.FLAG]),
    is_stale=st.sampled_from([None, None, False, True]),
    key=st.none() | st.integers(0, 3),
    person=st.none() | st.integers(0, 2),
)
NEVER = 10**12  # an epoch that no flag of these tests will ever make the present one
BATCHES = st.lists(SHAPES, min_size=1, max_size=4)
CUTS = st.lists(st.sampled_from(Cut), max_size=2)


@dataclass(slots=True)
class Model:
    """What the ledger must be: a list, and what follows from it."""

    entries: list[uuid.UUID] = field(default_factory=list)
    claims: dict[bytes, uuid.UUID] = field(default_factory=dict)
    subjects: dict[bytes, uuid.UUID] = field(default_factory=dict)
    epoch: int = 0

    def append(self, drafts: Sequence[Draft]) -> list[object]:
        """The answers, in few words: a seq, the entry that holds the key, or the kind of refusal."""
        answers: list[object] = [None] * len(drafts)
        for n, draft in enumerate(drafts):
            if draft.entry_id in self.entries:
                answers[n] = self.entries.index(draft.entry_id)
            elif draft.epoch is not None and draft.epoch != self.epoch:
                answers[n] = Stale
        named = dict(self.subjects)
        for n, draft in enumerate(drafts):
            if (
                answers[n] is None
                and draft.subject
                and named.setdefault(draft.subject.lookup_hash, draft.subject.subject_id) != (draft.subject.subject_id)
            ):
                answers[n] = SubjectMoved
        for n, draft in enumerate(drafts):
            if answers[n] is None and draft.claim is not None:
                holder = self.claims.setdefault(draft.claim, draft.entry_id)
                answers[n] = None if holder == draft.entry_id else (Claimed, holder)
        for n, draft in enumerate(drafts):
            if answers[n] is None:
                answers[n] = len(self.entries)
                self._take(draft)
        return answers

    def _take(self, draft: Draft) -> None:
        self.entries.append(draft.entry_id)
        if draft.subject:
            self.subjects.setdefault(draft.subject.lookup_hash, draft.subject.subject_id)
        if draft.kind is Kind.FLAG:
            self.epoch = len(self.entries)


def short(answer: Answer) -> object:
    match answer:
        case Appended():
            return answer.seq
        case Claimed():
            return Claimed, answer.entry_id
        case _:
            return type(answer)


def require_answers(answers: Sequence[Answer], expected: Sequence[object]) -> None:
    """As expected, where the same batch may have been asked twice.

    What was recorded is told the same each time. What was refused is refused again, but a flag of the same batch may have moved the
    epoch since: then the word is `Stale`, which the caller answers as it answers the others, by asking anew.
    """
    for answer, wanted in zip(map(short, answers), expected, strict=True):
        assert answer == wanted or (answer is Stale and not isinstance(wanted, int)), (answers, expected)


class Machine(RuleBasedStateMachine):
    """One chain of its own in the database at `url`, and the list beside it."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.chain_id, self.name = uuid.uuid4(), f"model-{uuid.uuid4()}"
        self.model, self.asked = Model(), list[Draft]()
        self.cuts: deque[Cut] = deque()
        with connect(self.url) as administrator:
            administrator.execute("insert into ledger.chain (id, name) values (%s, %s)", (self.chain_id, self.name))
        self.connection = connect(self.url, API, autocommit=True)
        self.other = connect(f"{self.url}&application_name=other", API)
        self.proxy = CuttingProxy(self.url, lambda: self.cuts.popleft() if self.cuts else None)
        self.proxy.__enter__()
        self.runner = asyncio.Runner()
        self.writer = Writer(self.proxy.url, self.chain_id, queue_limit=100, timeout_seconds=20)
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.writer.start()

    def teardown(self) -> None:
        try:
            self.runner.run(self.writer.stop())
            report = verify_database(self.url, chain=self.name, processes=1)
            assert report.is_intact, str(report)
            assert report.size == len(self.model.entries)
        finally:
            self.runner.close()
            self.proxy.__exit__()
            self.connection.close()
            self.other.close()

    def drafts(self, shapes: Sequence[Shape]) -> list[Draft]:
        made = [self._draft(shape) for shape in shapes]
        self.asked += made
        return made

    def _draft(self, shape: Shape) -> Draft:
        number = len(self.asked)
        epoch = None if shape.is_stale is None else NEVER if shape.is_stale else self.model.epoch
        claim = None if shape.key is None else b"key %d" % shape.key
        subject, personal, entry_id = None, None, sample.CLOCK.new_id()
        if shape.person is not None:
            data_key = os.urandom(32)
            subject = NewSubject(uuid.uuid4(), b"person %d" % shape.person, *sample.KEYRING.wrap(data_key))
            personal = seal(data_key, entry_id, b'{"name":"A. Person"}', os.urandom(12))
        options = {"epoch": epoch, "claim": claim, "fingerprint": claim, "subject": subject, "personal": personal, "entry_id": entry_id}
        match shape.kind:
            case Kind.EVENT:
                return sample.event(number, **options)
            case Kind.DECISION:
                return sample.decision(number, verdict="escalate" if number % 2 else "approve", **options)
            case _:
                # A flag names nobody; that it moves the epoch is what matters here.
                return replace(sample.flag("finance", f"action-{number % 3}"), epoch=epoch, claim=claim, fingerprint=claim)

    @rule(shapes=BATCHES)
    def ask(self, shapes: list[Shape]) -> None:
        self._append(self.drafts(shapes))

    def _append(self, drafts: list[Draft]) -> None:
        answers = [short(answer) for answer in append(self.connection, self.chain_id, drafts)]
        assert answers == self.model.append(drafts)

    @rule(shapes=BATCHES)
    def ask_and_roll_back(self, shapes: list[Shape]) -> None:
        drafts = self.drafts(shapes)
        answers = [short(answer) for answer in append(self.other, self.chain_id, drafts)]
        self.other.rollback()
        assert answers == deepcopy(self.model).append(drafts), "and nothing of it stands"

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """Any requests of before, answered or not, in any order."""
        numbers = st.integers(0, len(self.asked) - 1)
        picked = data.draw(st.lists(numbers, min_size=1, max_size=4, unique=True))
        self._append([self.asked[number] for number in picked])

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data(), shapes=BATCHES)
    def ask_for_other_bytes_under_a_known_id(self, data: st.DataObject, shapes: list[Shape]) -> None:
        known = data.draw(st.sampled_from([draft for draft in self.asked if draft.entry_id in self.model.entries]))
        bent = replace(known, sections=tuple(part._replace(salt=bytes(32)) for part in known.sections))
        with pytest.raises(LedgerBroken):
            append(self.connection, self.chain_id, [*self.drafts(shapes), bent])

    @rule(shapes=BATCHES, cuts=CUTS)
    def ask_a_writer_whose_connection_is_cut(self, shapes: list[Shape], cuts: list[Cut]) -> None:
        drafts = self.drafts(shapes)
        self.cuts.extend(cuts)
        answers = self.runner.run(self._write(drafts))
        note(f"cut so far: {self.proxy.cuts}")
        require_answers(answers, self.model.append(drafts))
        self.cuts.clear()

    async def _write(self, drafts: list[Draft]) -> list[Answer]:
        """All of them arrive before the writer wakes, so that they are one batch."""
        return list(await asyncio.gather(*(self.writer.append(draft) for draft in drafts)))

    @rule(shapes=BATCHES)
    def ask_the_same_at_once_of_writer_and_connection(self, shapes: list[Shape]) -> None:
        """One request over two connections: whichever comes second finds what the first wrote."""
        drafts = self.drafts(shapes)

        async def both() -> tuple[list[Answer], list[Answer]]:
            direct = asyncio.to_thread(append, self.connection, self.chain_id, drafts)
            return await asyncio.gather(direct, self._write(drafts))

        expected = self.model.append(drafts)
        for answers in self.runner.run(both()):
            require_answers(answers, expected)

    @invariant()
    def the_ledger_is_the_list(self) -> None:
        read = self.connection.execute
        rows = read(
            "select seq, uuid_send(entry_id), envelope, leaf from ledger.entry where chain_id = %s order by seq",
            (self.chain_id,),
            binary=True,
        ).fetchall()
        require_chain(rows, self.chain_id.bytes)
        assert [uuid.UUID(bytes=entry_id) for _, entry_id, _, _ in rows] == self.model.entries
        claims = read("select claim, entry_id from precedent.idempotency where chain_id = %s", (self.chain_id,)).fetchall()
        assert dict(claims) == self.model.claims
        subjects = read("select lookup_hash, subject_id from precedent.subjects where chain_id = %s", (self.chain_id,)).fetchall()
        assert dict(subjects) == self.model.subjects
        keys = read("select subject_id from ledger.subject_key where chain_id = %s", (self.chain_id,)).fetchall()
        assert {key for (key,) in keys} == set(self.model.subjects.values())
        epoch = read("select epoch from precedent.control_epoch where chain_id = %s", (self.chain_id,)).fetchone()
        assert (epoch or (0,)) == (self.model.epoch,)


def run(url: str, examples: int, steps: int, *, derandomize: bool) -> None:
    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=derandomize,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(type("Machine", (Machine,), {"url": url}), settings=options)


def test_the_ledger_is_what_a_list_would_be(module_database_url: str) -> None:
    run(module_database_url, 8, 16, derandomize=True)


@pytest.mark.long
def test_the_ledger_is_what_a_list_would_be_at_length(module_database_url: str) -> None:
    run(module_database_url, 150, 50, derandomize=False)
