"""Replays over a whole chain or a part of it: planned once, spread over processes by spans of entries, each in its own memory."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg

from precedent.errors import PolicyNotFound
from precedent.learning import replay_store as store
from precedent.learning.flips import Tally
from precedent.learning.replay_worker import Job, Source, Verified, Window, Worker, reading
from precedent.ledger.entry import Kind
from precedent.ledger.store import chain_id_of

SPAN_ENTRIES = 16_384
# A process costs half a second to start; below this it costs more than it gains.
ENTRIES_A_PROCESS = 20_000

Progress = Callable[[int, int], None]
Outcome = TypeVar("Outcome", Verified, Tally)


@dataclass(frozen=True, slots=True)
class Done(Generic[Outcome]):
    """What was found, under which plan."""

    outcome: Outcome
    head: int


def verify(url: str, chain: str, window: Window, processes: int | None = None, on_progress: Progress | None = None) -> Done[Verified]:
    """Derive every decision of the window again under the policy that it names.

    Raises: DatabaseUnavailable, SettingsInvalid.
    """
    with reading(url) as connection:
        chain_id = chain_id_of(connection, chain)
        head = store.read_head(connection, chain_id)
        first = _first_of(connection, store.FIRST_OF_LAST, {"chain": chain_id, "head": head, "kind": int(Kind.DECISION)}, window)
    whole = Verified()
    for part in _run(Job(url, chain_id, None, None, window, 0), Worker.verify_span, _spans(first, head), processes, on_progress):
        whole.merge(part)
    return Done(whole, head)


def compare(
    url: str,
    chain: str,
    candidate: Source,
    window: Window,
    *,
    baseline: Source | None = None,
    limit: int = 20,
    processes: int | None = None,
    on_progress: Progress | None = None,
) -> Done[Tally]:
    """Decide what the candidate would have been asked in the window, and count what differs.

    Raises: PolicyInvalid, DatabaseUnavailable, SettingsInvalid.
    """
    document = candidate.compile().document
    with reading(url) as connection:
        chain_id = chain_id_of(connection, chain)
        head = store.read_head(connection, chain_id)
        asked = {"chain": chain_id, "head": head, "node": document.node, "actions": list(document.actions)}
        first, last = 0, head
        if window.last is not None:
            first = _first_of(connection, store.FIRST_OF_LAST_ASKED, asked, window)
        elif window.from_us is not None or window.to_us is not None:
            from_us, to_us = window.bounds_us
            found = connection.execute(store.BETWEEN, asked | {"from_us": from_us, "to_us": to_us}).fetchone()
            first, last = (found[0], found[1]) if found else (0, -1)
    whole = Tally(limit)
    for part in _run(
        Job(url, chain_id, candidate, baseline, window, limit), Worker.compare_span, _spans(first, last), processes, on_progress
    ):
        whole.merge(part)
    return Done(whole, head)


def find_source(url: str, chain: str, ref: str) -> Source:
    """The text of a published version; of a bare name, that of its active version.

    Raises: PolicyNotFound, DatabaseUnavailable, SettingsInvalid.
    """
    name, _, version = ref.partition("@")
    with reading(url) as connection:
        chain_id = chain_id_of(connection, chain)
        if version:
            row = connection.execute(store.ONE, (chain_id, name, version)).fetchone()
            return Source(row[0], ref) if row else _not_found(f"no policy {ref} is published")
        row = connection.execute(store.ACTIVE, (chain_id, name)).fetchone()
        return Source(row[1], row[0]) if row else _not_found(f"no version of {ref} is active")


def _not_found(words: str) -> Source:
    raise PolicyNotFound(words)


def _first_of(connection: psycopg.Connection, statement: str, parameters: dict[str, object], window: Window) -> int:
    """Where the last so many begin; 0 where there are fewer, or all are meant."""
    if window.last is None:
        return 0
    row = connection.execute(statement, parameters | {"last": window.last}).fetchone()
    return int(row[0]) if row else 0


def _spans(first: int, last: int) -> list[tuple[int, int]]:
    return [(start, min(start + SPAN_ENTRIES - 1, last)) for start in range(first, last + 1, SPAN_ENTRIES)]


def _run(
    job: Job,
    work: Callable[[Worker, int, int], Outcome],
    spans: Sequence[tuple[int, int]],
    processes: int | None,
    on_progress: Progress | None,
) -> Iterator[Outcome]:
    """What came of each span, as they are done."""
    total = sum(last - first + 1 for first, last in spans)
    wanted = processes or min(os.cpu_count() or 1, max(total // ENTRIES_A_PROCESS, 1))
    done = 0
    for size, outcome in _work_here(job, work, spans) if min(wanted, len(spans)) <= 1 else _spread(job, work, spans, wanted):
        done += size
        if on_progress:
            on_progress(done, total)
        yield outcome


def _work_here(job: Job, work: Callable[[Worker, int, int], Outcome], spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Outcome]]:
    worker = Worker(job)
    for first, last in spans:
        yield last - first + 1, work(worker, first, last)


def _spread(
    job: Job, work: Callable[[Worker, int, int], Outcome], spans: Sequence[tuple[int, int]], processes: int
) -> Iterator[tuple[int, Outcome]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(spans)), mp_context=context, initializer=_employ, initargs=(job,)) as pool:
        pending = {pool.submit(_work_there, work, first, last): last - first + 1 for first, last in spans}
        for future in as_completed(list(pending)):
            yield pending.pop(future), future.result()


_employed: list[Worker] = []  # of a spawned process: the one that all its spans go to


def _employ(job: Job) -> None:
    _employed[:] = [Worker(job)]


def _work_there(work: Callable[[Worker, int, int], Outcome], first: int, last: int) -> Outcome:
    return work(_employed[0], first, last)
