"""Durable appends a second: the Writer under concurrent producers, in one and in two processes, beside a row lock a record.

Both sides start from bytes that are made: what drafting costs is the caller's, and told apart.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from statistics import median
from time import monotonic, perf_counter, process_time

import psutil
import psycopg
import uvloop

from precedent.ledger.entry import Answer, Appended, Draft
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import MAX_BATCH_ENTRIES, Writer
from tests.bench.clients import percentile, set_aside_what_is_held
from tests.bench.cpu import cpu_seconds
from tests.bench.records import DECISIONS, EVENTS, draft_of, record
from tests.bench.row_lock import RowLock

# Twice as many as the Writer takes into one commit: the next is made ready while one is written.
PRODUCERS = 2 * MAX_BATCH_ENTRIES
# Made before the clock starts; whoever is faster ends earlier.
DRAFTS_PER_SECOND = 20_000
PROCESSES = (1, 2)
ROW_LOCK_CONNECTIONS = (1, 4, 16)
ROW_LOCK = "row lock a record"
START_SECONDS = 30.0
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One run; a step is a batch of the Writer, or a transaction under the row lock."""

    entries: int
    per_second: float
    step_entries: float
    step_p50_ms: float
    step_p99_ms: float
    python_cpu_us: float
    postgres_cpu_us: float
    draft_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Worked:
    """What one process did: entries answered, from when to when (monotonic), (entries, seconds) of each batch, processor time, drafting."""

    done: int
    began: float
    ended: float
    batches: list[tuple[int, float]]
    python_seconds: float
    draft_us: float


@dataclass(frozen=True, slots=True)
class AppendRow:
    """Medians over the rounds. `at_once` are processes of `PRODUCERS` each, or connections under the row lock; CPU is by entry."""

    what: str
    at_once: int
    per_second: float
    of_row_lock: float
    step_entries: float
    step_p50_ms: float
    step_p99_ms: float
    python_cpu_us: float
    postgres_cpu_us: float
    draft_us: float


def measure_appends(
    url: str, postgres: psutil.Process, rounds: int, seconds: float, tell: Callable[[str], None], after_first: Callable[[], None]
) -> list[AppendRow]:
    """Rows of the ledger, then of the row lock. `after_first` is called when the first round has been written."""
    runs: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for turn in range(rounds):
        tell(f"appends: round {turn + 1} of {rounds}")
        for processes in PROCESSES:
            for kind in (DECISIONS, EVENTS):
                runs[kind, processes].append(run_writers(url, postgres, kind, processes, seconds))
        for connections in ROW_LOCK_CONNECTIONS:
            runs[ROW_LOCK, connections].append(_row_lock(url, postgres, connections, seconds))
        if turn == 0:
            after_first()
    best = [max(runs[ROW_LOCK, connections][turn].per_second for connections in ROW_LOCK_CONNECTIONS) for turn in range(rounds)]
    return [_summarise(what, at_once, runs[what, at_once], best) for what, at_once in runs]


def run_writers(url: str, postgres: psutil.Process, kind: str, processes: int, seconds: float) -> Run:
    """`processes` Writers on the chain `main`, each fed by `PRODUCERS` that wait for each answer before they go on."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_work, args=(url, kind, seconds, start, results), daemon=True) for _ in range(processes)]
    before = cpu_seconds(postgres)
    for worker in workers:
        worker.start()
    told: list[Worked] = [results.get(timeout=2 * START_SECONDS + 2 * seconds) for _ in workers]
    for worker in workers:
        worker.join()
    postgres_seconds = cpu_seconds(postgres) - before
    batches = [batch for one in told for batch in one.batches]
    took = sorted(batch_seconds for _, batch_seconds in batches)
    entries = sum(one.done for one in told)
    return Run(
        entries,
        per_second=entries / (max(one.ended for one in told) - min(one.began for one in told)),
        step_entries=entries / len(batches),
        step_p50_ms=percentile(took, 0.50) * 1000,
        step_p99_ms=percentile(took, 0.99) * 1000,
        python_cpu_us=sum(one.python_seconds for one in told) / entries * 1e6,
        postgres_cpu_us=postgres_seconds / entries * 1e6,
        draft_us=median(one.draft_us for one in told),
    )


class TimedWriter(Writer):
    """The Writer, noting the size of each batch and the seconds until its commit was durable."""

    batches: list[tuple[int, float]]

    async def _send(self, drafts: list[Draft]) -> list[Answer]:
        began = perf_counter()
        answers = await super()._send(drafts)
        self.batches.append((len(drafts), perf_counter() - began))
        return answers


def _work(url: str, kind: str, seconds: float, start: Barrier, results: Queue[Worked]) -> None:
    results.put(uvloop.run(_produce(url, kind, seconds, start)))


async def _produce(url: str, kind: str, seconds: float, start: Barrier) -> Worked:
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
    drafts, draft_us = _make_drafts(kind, int(seconds * DRAFTS_PER_SECOND) + WARM_UP)
    writer = TimedWriter(url, chain_id, queue_limit=2 * PRODUCERS, timeout_seconds=10.0)
    writer.batches = []
    writer.start()
    # Connected, and its statement prepared, before the clock starts.
    for _ in range(WARM_UP):
        await writer.append(drafts.pop())
    writer.batches.clear()
    start.wait(timeout=START_SECONDS)
    began, began_cpu = monotonic(), process_time()
    done = 0

    async def produce() -> None:
        nonlocal done
        while drafts and monotonic() - began < seconds:
            answer = await writer.append(drafts.pop())
            assert isinstance(answer, Appended), answer
            done += 1

    await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
    ended, python_seconds = monotonic(), process_time() - began_cpu
    await writer.stop()
    return Worked(done, began, ended, writer.batches, python_seconds, draft_us)


def _make_drafts(kind: str, count: int) -> tuple[list[Draft], float]:
    """Drafts, and microseconds of processor time for each: canonical bytes, salts, an id."""
    records = [record(kind, number) for number in range(256)]
    began = process_time()
    drafts = [draft_of(kind, records[number % len(records)]) for number in range(count)]
    draft_us = (process_time() - began) / count * 1e6
    set_aside_what_is_held()  # so many objects at once are of this bench alone
    return drafts, draft_us


def _row_lock(url: str, postgres: psutil.Process, connections: int, seconds: float) -> Run:
    with RowLock(url, connections) as baseline:
        before, began_cpu = cpu_seconds(postgres), process_time()
        took = baseline.run(seconds)
        python_seconds, postgres_seconds = process_time() - began_cpu, cpu_seconds(postgres) - before
    return Run(
        len(took),
        per_second=len(took) / seconds,
        step_entries=1.0,
        step_p50_ms=percentile(took, 0.50) * 1000,
        step_p99_ms=percentile(took, 0.99) * 1000,
        python_cpu_us=python_seconds / len(took) * 1e6,
        postgres_cpu_us=postgres_seconds / len(took) * 1e6,
    )


def _summarise(what: str, at_once: int, runs: Sequence[Run], row_lock_per_second: Sequence[float]) -> AppendRow:
    """The ratio is the median of each round's own, to the row lock's best number of connections in that round."""
    return AppendRow(
        what,
        at_once,
        per_second=median(run.per_second for run in runs),
        of_row_lock=median(run.per_second / base for run, base in zip(runs, row_lock_per_second, strict=True)),
        step_entries=median(run.step_entries for run in runs),
        step_p50_ms=median(run.step_p50_ms for run in runs),
        step_p99_ms=median(run.step_p99_ms for run in runs),
        python_cpu_us=median(run.python_cpu_us for run in runs),
        postgres_cpu_us=median(run.postgres_cpu_us for run in runs),
        draft_us=median(run.draft_us for run in runs),
    )
