"""Two million decisions in one API and one chain: whether its memory grows, and whether one more costs more than at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from precedent.db.engine import connect
from tests.bench.clients import run_load, run_own
from tests.bench.cpu import cpu_seconds
from tests.bench.endpoint import named_target
from tests.bench.report import Goal, Part
from tests.bench.stack import Api
from tests.bench.steady import BATCH, CONNECTIONS, batches

FILL_SECONDS = 3600.0
NOTE = (
    "*Growth*: the chain is filled by batches of {batch:,} and the API's resident memory read when it holds {settled:,} decisions and "
    "{filled:,}; a decision's cost is the processor time of API and PostgreSQL together, for decisions with customer and key over "
    "{connections} connections, when {first:,} are recorded and when {last:,} are."
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """At how many decisions what is read: cost at `first` and `last`, memory at `settled` and `filled`."""

    first: int = 20_000
    settled: int = 100_000
    filled: int = 1_000_000
    last: int = 2_000_000


def measure_growth(api: Api, postgres: psutil.Process, sizes: Sizes, seconds: int, tell: Callable[[str], None]) -> Part:
    """On an API of its own, whose chain has no decision yet. Raises: LoadFailed."""
    memory_mb, cost_us = dict[int, float](), dict[int, float]()
    for size in sorted({sizes.first, sizes.settled, sizes.filled, sizes.last}):
        tell(f"growth: {size:,} decisions")
        _fill(api, size)
        memory_mb[size] = api.served.process.memory_info().rss / 1e6
        if size in (sizes.first, sizes.last):
            cost_us[size] = _cost_us(api, postgres, seconds)
    grown = memory_mb[sizes.filled] / memory_mb[sizes.settled] - 1
    ratio = cost_us[sizes.last] / cost_us[sizes.first]
    return Part(
        goals=(
            Goal(f"memory of the API at {sizes.filled:,} decisions, above that at {sizes.settled:,}", grown * 100, 5, " %", at_least=False),
            Goal(f"cost of a decision at {sizes.last:,}, of that at {sizes.first:,}", ratio, 1.2, at_least=False),
        ),
        rows=[
            [f"memory of the API at {size:,} decisions", f"{memory_mb[size]:.0f} MB"] for size in (sizes.settled, sizes.filled, sizes.last)
        ],
        note=NOTE.format(batch=BATCH, connections=CONNECTIONS, **{name: getattr(sizes, name) for name in Sizes.__slots__}),
    )


def _fill(api: Api, size: int) -> None:
    """Decide until there are `size`, to a batch."""
    with connect(api.database_url) as connection:
        row = connection.execute("select count(*) from precedent.decisions").fetchone()
    missing = -(-(size - (row[0] if row else 0)) // BATCH)
    if missing > 0:
        asyncio.run(run_own(batches(api), min(2, missing), FILL_SECONDS, missing))


def _cost_us(api: Api, postgres: psutil.Process, seconds: int) -> float:
    """Processor time of a decision, by API and PostgreSQL, in microseconds. The first load warms up: a quarter of a second's worth."""
    target = named_target(api)
    run_load(target, CONNECTIONS, 1)
    processes = (api.served.process, postgres)
    before = sum(map(cpu_seconds, processes))
    figures = run_load(target, CONNECTIONS, seconds)
    return (sum(map(cpu_seconds, processes)) - before) / figures.requests * 1e6
