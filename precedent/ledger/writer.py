"""The one caller of `ledger.append`: a plain function for a batch, and the micro-batching writer of an API process.

While one commit is in flight, arrivals queue; the next batch is whatever waits then (≤ 256 entries or 1 MiB). No timer, no
linger: alone, an entry waits for nothing; under load, a commit is shared by all who arrived during the one before, and by those
of its own who come back at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
import structlog

from precedent.db.engine import API, Deadline, with_options
from precedent.errors import DatabaseRefused, DatabaseUnavailable, LedgerBroken, QueueFull
from precedent.ledger.entry import Answer, Appended, Claimed, Draft, ReviewMoved, Section, Stale, SubjectMoved
from precedent.spans import Cause, here, span

MAX_BATCH_ENTRIES = 256
MAX_BATCH_BYTES = 1024 * 1024
# Whoever is answered goes on at once, and the next commit is more than a socket takes in one go: were all answered together, the server
# would wait for the rest of it until the last of them has come to rest, and so would everybody else.
ANSWERS_AT_ONCE = 32
MISSING = "42"  # class of errors: a right, a table or a function is not there
OTHER_BYTES = "PL005"  # what the append says of an id that stands there with other bytes

_APPEND = """
select statuses, entry_ids, seqs, envelopes, leaves, fingerprints from ledger.append(
    %b::uuid, %b::uuid[], %b::int2[], %b::int8[], %b::bytea[], %b::bytea[],
    %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[],
    %b::int4[], %b::uuid[], %b::bytea[], %t::text[], %b::bytea[])
"""

# Past the server's own limit the server does not answer at all.
GRACE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 0.5

log = structlog.get_logger(__name__)

# A draft, its answer, until when its commit is tried, and the span that waits for it, if one is told.
Waiting: TypeAlias = tuple[Draft, "asyncio.Future[Answer]", float, Cause | None]


def append(connection: psycopg.Connection, chain_id: UUID, drafts: Sequence[Draft]) -> list[Answer]:
    """Append a batch in the connection's transaction; answers in the order of the drafts. The caller commits.

    Raises: LedgerBroken when an id stands there with other bytes.
    """
    try:
        row = connection.execute(_APPEND, _parameters(chain_id, drafts), binary=True).fetchone()
    except psycopg.ProgrammingError as error:
        if error.sqlstate == OTHER_BYTES:
            raise LedgerBroken(str(error)) from error
        raise
    return _answers(row)


def _parameters(chain_id: UUID, drafts: Sequence[Draft]) -> tuple[Any, ...]:
    sections: dict[int, list[bytes | None]] = {section: [None] * len(drafts) for section in Section}
    for place, draft in enumerate(drafts):
        for section in draft.sections:
            sections[section.section_id][place] = section.salt + section.stored
    subjects = [(place, draft.subject) for place, draft in enumerate(drafts, 1) if draft.subject]
    return (
        chain_id,
        [draft.entry_id for draft in drafts],
        [int(draft.kind) for draft in drafts],
        [draft.epoch for draft in drafts],
        [draft.claim for draft in drafts],
        [draft.fingerprint for draft in drafts],
        *sections.values(),
        [place for place, _ in subjects],
        [subject.subject_id for _, subject in subjects],
        [subject.lookup_hash for _, subject in subjects],
        [subject.epoch_key for _, subject in subjects],
        [subject.wrapped for _, subject in subjects],
    )


def _answers(row: tuple[Any, ...] | None) -> list[Answer]:
    return [_answer(*one) for one in zip(*row, strict=True)] if row else []


def _answer(status: str | None, entry_id: UUID, seq: int, envelope: bytes, leaf: bytes, fingerprint: bytes) -> Answer:
    match status:
        case "appended":
            return Appended(entry_id, seq, envelope, leaf)
        case "claimed":
            return Claimed(entry_id, fingerprint)
        case "stale":
            return Stale()
        case "subject_moved":
            return SubjectMoved()
        case "review_moved":
            return ReviewMoved()
    raise LedgerBroken(f"the append said {status} of an entry")


class Writer:
    """Appends drafts of concurrent requests in shared commits, in order of arrival, over one connection of its own.

    When the connection is lost, the batch is sent again on a new one: what a lost commit had written is found again by its
    entry ids. Whoever has waited `timeout_seconds` is refused then, in the batch and in the queue. A server that answers
    nothing counts as lost a second after its own time is up.
    """

    def __init__(self, url: str, chain_id: UUID, *, queue_limit: int, timeout_seconds: float) -> None:
        self._url = with_options(url, role=API, statement_timeout=f"{int(timeout_seconds * 1000)}")
        self._chain_id = chain_id
        self._queue_limit = queue_limit
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[Waiting] = deque()
        self._arrival = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection | None = None
        self._is_stopping = False

    @property
    def queue_depth(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def stop(self) -> None:
        """Commit what waits and what is in flight, then close; nothing more is taken."""
        self._is_stopping = True
        self._arrival.set()
        if self._task:
            await self._task
        await self._disconnect()

    async def append(self, draft: Draft) -> Answer:
        """Where `draft` stands, once its commit is durable.

        Raises: QueueFull, DatabaseUnavailable, DatabaseRefused, LedgerBroken.
        """
        if self._is_stopping:
            raise DatabaseUnavailable("couldn't append: this process is stopping")
        if len(self._waiting) >= self._queue_limit:
            raise QueueFull(f"{len(self._waiting)} entries wait for a commit already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((draft, future, loop.time() + self._timeout_seconds, here()))
        self._arrival.set()
        return await future

    async def append_as_step(self, draft: Draft, id_name: str | None = None) -> Answer:
        """`append`, as a step of its own in the trace, which tells the entry's place, and under `id_name` its id.

        Raises: as `append`.
        """
        with span("append") as told:
            answer = await self.append(draft)
            if told is not None and isinstance(answer, Appended):
                told.set_attributes({"precedent.seq": answer.seq} | ({id_name: str(answer.entry_id)} if id_name else {}))
            return answer

    async def _run(self) -> None:
        while not self._is_stopping:
            await self._arrival.wait()
            self._arrival.clear()
            while self._waiting:
                await self._commit(self._take())

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH_ENTRIES and (not batch or size + self._waiting[0][0].size_bytes <= MAX_BATCH_BYTES):
            batch.append(self._waiting.popleft())
            size += batch[-1][0].size_bytes
        return batch

    async def _commit(self, batch: list[Waiting]) -> None:
        pause_seconds = 0.02
        while batch:
            try:
                answers = await self._send_told(batch)
            except psycopg.OperationalError as error:
                await self._disconnect()
                batch = self._refuse_late(batch, pause_seconds, error)
                if batch:
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            except (psycopg.errors.RaiseException, psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError) as error:
                if len(batch) > 1:
                    # One entry that the database refuses must not take its neighbours with it.
                    for one in batch:
                        await self._commit([one])
                    return
                log.error("append_refused", error=str(error))
                kind = DatabaseRefused if (error.sqlstate or "").startswith(MISSING) else LedgerBroken
                return _settle(batch, kind(f"the ledger refused an entry: {error}"))
            except psycopg.Error as error:
                log.warning("append_unavailable", error=str(error), entries=len(batch))
                return _settle(batch, DatabaseUnavailable(f"couldn't append: {error}"))
            except Exception as error:
                log.exception("append_failed")
                return _settle(batch, error)
            else:
                return await self._tell_in_turns(list(zip(batch, answers, strict=True)))

    async def _tell_in_turns(self, answered: list[tuple[Waiting, Answer]]) -> None:
        """Each its answer, some at a time, until half as many wait as were answered; the rest while those are committed.

        Were the few who come back first committed by themselves, every other commit would be small: two processes on one chain, each
        with 256 that wait for their answers, would append 3 to 9 % less.
        """
        half = len(answered) / 2
        try:
            while answered and len(self._waiting) < half:
                some, answered = answered[:ANSWERS_AT_ONCE], answered[ANSWERS_AT_ONCE:]
                _tell(some)
                await asyncio.sleep(0)
        finally:
            _tell(answered)

    def _refuse_late(self, batch: list[Waiting], pause_seconds: float, error: psycopg.Error) -> list[Waiting]:
        """Refuse whoever would be late after the pause, in the batch and in the queue; the rest of the batch is sent again."""
        now = asyncio.get_running_loop().time() + pause_seconds
        late = [one for one in batch if one[2] <= now]
        while self._waiting and self._waiting[0][2] <= now:
            late.append(self._waiting.popleft())
        if late:
            log.warning("append_unavailable", error=str(error), entries=len(late))
            _settle(late, DatabaseUnavailable(f"couldn't append: {error}"))
        return [one for one in batch if one[2] > now]

    async def _send_told(self, batch: list[Waiting]) -> list[Answer]:
        with span("commit", (cause for *_, cause in batch)) as told:
            answers = await self._send([draft for draft, *_ in batch])
            if told is not None:
                told.set_attributes(_told_of(answers))
            return answers

    async def _send(self, drafts: list[Draft]) -> list[Answer]:
        connection = await self._connect()
        with Deadline(connection, self._timeout_seconds + GRACE_SECONDS):
            cursor = await connection.execute(_APPEND, _parameters(self._chain_id, drafts), binary=True)
            return _answers(await cursor.fetchone())

    async def _connect(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, application_name="precedent writer", connect_timeout=3, prepare_threshold=1
            )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()


def _tell(answered: list[tuple[Waiting, Answer]]) -> None:
    """Each its answer, the rest when the first have gone on: the next commit is still being sent meanwhile."""
    for (_, future, *_), answer in answered[:ANSWERS_AT_ONCE]:
        if not future.done():
            future.set_result(answer)
    if len(answered) > ANSWERS_AT_ONCE:
        asyncio.get_running_loop().call_soon(_tell, answered[ANSWERS_AT_ONCE:])


def _told_of(answers: list[Answer]) -> dict[str, int]:
    seqs = [answer.seq for answer in answers if isinstance(answer, Appended)]
    places = {"precedent.first_seq": seqs[0], "precedent.last_seq": seqs[-1]} if seqs else {}
    return {"precedent.count": len(answers), "precedent.appended": len(seqs)} | places


def _settle(batch: list[Waiting], error: Exception) -> None:
    for _, future, *_ in batch:
        if not future.done():
            future.set_exception(error)
