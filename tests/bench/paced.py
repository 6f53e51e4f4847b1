"""Appends at a steady pace while a snapshot is held open, as a dump or an export holds one; and whether appends are as fast after it.

A row that every commit updates would leave a dead version a commit, which the snapshot keeps alive: the design's own trial lost three
quarters of its speed in 80 s that way.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.queues import Queue
from time import monotonic

import psutil
import psycopg
import uvloop

from precedent.ledger.entry import Appended
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import Writer
from tests.bench.appends import WARM_UP, run_writers
from tests.bench.clients import percentile
from tests.bench.records import DECISIONS, draft_of, record
from tests.bench.report import Goal, Part
from tests.bench.stack import settle_disk

RATE = 2_000
NOTE = (
    "*Paced appends*: {rate:,} decisions a second by one Writer for {seconds:g} s, each due at its own moment and timed from then to its "
    "durable answer, once the disk has what was written before, while another session holds a snapshot that was taken before the first; "
    "before them, and with the snapshot still held after them, two Writers as fast as they can."
)


def measure_paced(url: str, postgres: psutil.Process, seconds: float, full_speed_seconds: float) -> Part:
    """Of the chain `main` in a migrated database; `seconds` with the snapshot held open."""
    before = run_writers(url, postgres, DECISIONS, 2, full_speed_seconds).per_second
    with psycopg.connect(url) as snapshot:
        snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot.execute("select count(*) from ledger.entry")
        settle_disk()
        waits = run_paced(url, seconds)
        after = run_writers(url, postgres, DECISIONS, 2, full_speed_seconds).per_second
    last = sorted(waits[-max(1, len(waits) // 10) :])
    waits.sort()
    held = f"after {seconds:g} s with a snapshot held open"
    return Part(
        goals=(
            Goal(f"appends at {RATE:,} a second, p99", percentile(waits, 0.99) * 1000, 15, " ms", at_least=False),
            Goal(f"appends {held}, of those before", after / before, 0.9),
        ),
        rows=(
            [f"appends at {RATE:,} a second, p50", f"{percentile(waits, 0.5) * 1000:.1f} ms"],
            ["their last tenth, p99", f"{percentile(last, 0.99) * 1000:.1f} ms"],
            ["appends before it, and after", f"{before:,.0f}/s, {after:,.0f}/s"],
        ),
        note=NOTE.format(rate=RATE, seconds=seconds),
    )


def run_paced(url: str, seconds: float) -> list[float]:
    """Seconds from the moment that each was due to its answer, in that order."""
    context = multiprocessing.get_context("spawn")
    results: Queue[list[float]] = context.Queue()
    worker = context.Process(target=_work, args=(url, seconds, results), daemon=True)
    worker.start()
    waits = results.get(timeout=60 + 2 * seconds)
    worker.join()
    return waits


def _work(url: str, seconds: float, results: Queue[list[float]]) -> None:
    results.put(uvloop.run(_pace(url, int(seconds * RATE))))


async def _pace(url: str, count: int) -> list[float]:
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
    records = [record(DECISIONS, number) for number in range(256)]
    writer = Writer(url, chain_id, queue_limit=10 * RATE, timeout_seconds=10.0)
    writer.start()
    for number in range(WARM_UP):
        await writer.append(draft_of(DECISIONS, records[number]))
    waits = [0.0] * count
    began = monotonic()

    async def append(number: int) -> None:
        answer = await writer.append(draft_of(DECISIONS, records[number % len(records)]))
        assert isinstance(answer, Appended), answer
        waits[number] = monotonic() - began - number / RATE

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            ahead = began + number / RATE - monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            group.create_task(append(number))
    await writer.stop()
    return waits
