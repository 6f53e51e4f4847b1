"""The decision endpoint as it is used: at a steady pace with keys, in batches, and by two processes on one chain."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

import psutil

from precedent.ledger.verify import verify_database
from tests.bench.clients import Target, run_at_pace, run_load
from tests.bench.cpu import cpu_seconds
from tests.bench.endpoint import FACTS, PATH, named_target
from tests.bench.report import Goal, Part
from tests.bench.stack import Api, another_process, settle_disk

PER_SECOND = 500
# So many times as long as the rest: in three seconds one pause of the machine is more than the hundredth part.
PACED_TIMES = 7
# A batch takes a third of a second, and the two that are under way at the end are not counted.
BATCHED_TIMES = 4
BATCH = 1_000
CONNECTIONS = 64
NOTE = (
    f"*Steady*: {PER_SECOND} decisions a second, each with a customer and a key of its own, due at its own moment and timed from then to "
    f"its last byte, once the disk has what was measured before; batches of {BATCH:,} without customers over two connections; each in "
    "rounds, with the median of the rounds for p50, p99 and rate; "
    f"two processes share {CONNECTIONS} connections, beside one that has them all, in turn, and the chain is verified afterwards."
)


def measure_steady(api: Api, postgres: psutil.Process, rounds: int, seconds: int) -> Part:
    """With features planted: `endpoint.measure_endpoints` comes first.

    Raises: LoadFailed; AssertionError where the chain does not verify.
    """
    target = named_target(api)
    settle_disk()
    paced = [asyncio.run(run_at_pace(target, PER_SECOND, float(PACED_TIMES * seconds))) for _ in range(rounds)]
    before = cpu_seconds(api.served.process), cpu_seconds(postgres)
    batched = [run_load(batches(api), 2, BATCHED_TIMES * seconds) for _ in range(rounds)]
    millions = BATCH * sum(run.requests for run in batched) / 1e6
    api_us, postgres_us = (cpu_seconds(api.served.process) - before[0]) / millions, (cpu_seconds(postgres) - before[1]) / millions
    ratio = _two_beside_one(api, target, rounds, seconds)
    report = verify_database(api.database_url)
    assert report.is_intact, str(report)
    return Part(
        goals=(
            Goal(f"decisions at {PER_SECOND} a second, p50", median(run.p50_ms for run in paced), 5, " ms", at_least=False),
            Goal(f"decisions at {PER_SECOND} a second, p99", median(run.p99_ms for run in paced), 25, " ms", at_least=False),
            Goal("decisions by batches", BATCH * median(run.per_second for run in batched), 6_000, "/s"),
            Goal("two processes on one chain, of one", ratio, 1),
        ),
        rows=(
            ["p99 of each round at that pace", ", ".join(f"{run.p99_ms:.1f} ms" for run in paced)],
            ["batches in each round", ", ".join(f"{BATCH * run.per_second:,.0f}/s" for run in batched)],
            ["processor of a decision in a batch", f"API {api_us:.0f} µs, PostgreSQL {postgres_us:.0f} µs at most"],
            ["the chain of all these decisions", f"{report.size:,} entries, intact"],
        ),
        note=NOTE,
    )


def batches(api: Api) -> Target:
    """Whole batches of one question that is approved."""
    questions = [{"action": "approve_discount", "facts": FACTS}] * BATCH
    plain = named_target(api)
    return replace(plain, url=f"{api.served.url}{PATH}/batch", bodies=[json.dumps({"decisions": questions}).encode()], has_keys=False)


def _two_beside_one(api: Api, target: Target, rounds: int, seconds: int) -> float:
    """The median of each round's own ratio."""
    ratios = []
    with another_process(api) as other, ThreadPoolExecutor(2) as pool:
        second = replace(target, url=other.url + PATH)
        run_load(second, 16, 1)
        for _ in range(rounds):
            alone = run_load(target, CONNECTIONS, seconds).per_second
            halves = pool.map(lambda one: run_load(one, CONNECTIONS // 2, seconds).per_second, (target, second))
            ratios.append(sum(halves) / alone)
    return median(ratios)
