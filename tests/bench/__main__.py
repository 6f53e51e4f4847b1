"""`make bench`: measure on this machine, print what was found, write it to docs/benchmarks.md.

A number that is missed is said plainly and fails nothing: a bench on a busy machine is no test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import psutil

from precedent.db.embedded import EmbeddedPostgres, start_embedded
from precedent.settings import project_root
from tests.bench import daily
from tests.bench.analysis import analysis_seconds
from tests.bench.anatomy import measure_anatomy
from tests.bench.appends import AppendRow, measure_appends
from tests.bench.clients import client_name
from tests.bench.daily import measure_daily
from tests.bench.endpoint import WITH_KEY, EndpointRow, measure_endpoints, named_body
from tests.bench.exports import measure_export
from tests.bench.growth import Sizes, measure_growth
from tests.bench.machine import describe_machine, is_quiet
from tests.bench.paced import measure_paced
from tests.bench.pipeline import measure_backfill
from tests.bench.policies import decision_us, load_ms
from tests.bench.precedents import measure_precedents
from tests.bench.remembering import measure_memory
from tests.bench.replay import Replayed, replay_rate
from tests.bench.report import Findings, Part, render
from tests.bench.singles import Verified, evaluation_us, import_rate, verify_rate
from tests.bench.stack import fresh_database, running_api, running_noop
from tests.bench.steady import measure_steady
from tests.bench.tree import measure_tree


@dataclass(frozen=True, slots=True)
class Plan:
    """How often and how long; whole seconds for the endpoints, as wrk has it."""

    rounds: int
    endpoint_seconds: int
    append_seconds: float
    held_seconds: float
    import_cases: int
    tree_entries: int
    tree_tries: int
    export_entries: int
    vectors: int
    is_long: bool = False

    def __str__(self) -> str:
        rounds = "one round" if self.rounds == 1 else f"{self.rounds} rounds"
        return f"{rounds} of {self.endpoint_seconds} s for each endpoint and {self.append_seconds:g} s for each way to append"


FULL = Plan(
    rounds=3,
    endpoint_seconds=3,
    append_seconds=2.0,
    held_seconds=20.0,
    import_cases=2500,
    tree_entries=1_000_000,
    tree_tries=2000,
    export_entries=1_000_000,
    vectors=200_000,
)
QUICK = Plan(
    rounds=1,
    endpoint_seconds=1,
    append_seconds=1.0,
    held_seconds=3.0,
    import_cases=250,
    tree_entries=65_536,
    tree_tries=200,
    export_entries=20_000,
    vectors=8_000,
)


def main() -> None:
    root = project_root()
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, under a minute; printed only")
    parser.add_argument("--output", type=Path, help="where to write (default: docs/benchmarks.md, nothing when --quick)")
    parser.add_argument("--held", type=float, metavar="SECONDS", help="how long a snapshot is held open while decisions are appended")
    parser.add_argument(
        "--long", action="store_true", help="two million decisions in one API and the pipeline's runs besides, some twenty minutes"
    )
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    plan = replace(plan, held_seconds=arguments.held or plan.held_seconds, is_long=arguments.long)
    output = arguments.output or (None if arguments.quick else root / "docs" / "benchmarks.md")
    # Ended from outside, it still ends what it started.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    # Beside the checkout's own data, not in a temporary folder that may be memory: a commit there would cost nothing.
    (root / ".precedent").mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=root / ".precedent"))
    try:
        text = render(measure(home, plan))
    finally:
        shutil.rmtree(home)
    print(text, end="")
    if output is not None:
        output.write_text(text, encoding="utf-8")


def measure(home: Path, plan: Plan) -> Findings:
    """Everything, in one run; `home` holds the database and is of no use afterwards."""
    began = perf_counter()
    load_average = os.getloadavg()

    def tell(words: str) -> None:
        print(f"{perf_counter() - began:5.0f} s  {words}", file=sys.stderr, flush=True)

    approve_us, escalate_us = evaluation_us("approve"), evaluation_us("escalate")
    twenty_rules_us, fifty_rules_ms = max(decision_us("approve"), decision_us("escalate")), load_ms()
    tell("analysis")
    analysed_seconds = analysis_seconds()
    server = start_embedded(home)
    try:
        tell("database")
        machine = describe_machine(server.url, home, load_average, client_name())
        endpoints, api_start_mb, api_mb, replayed, import_per_second, used = _measure_api(home, server, plan, tell)
        appends, verified = _measure_ledger(server, plan, tell)
        tell(f"a snapshot held open for {plan.held_seconds:g} s")
        paced = measure_paced(
            fresh_database(server, "paced_bench"), psutil.Process(server.identity.pid), plan.held_seconds, plan.append_seconds
        )
        grown = []
        if plan.is_long:
            with running_api(home, fresh_database(server, "growth_bench")) as api:
                grown = [measure_growth(api, psutil.Process(server.identity.pid), Sizes(), plan.endpoint_seconds, tell)]
            tell("pipeline")
            grown += _measure_pipeline(home, server)
        tell("tree")
        tree = measure_tree(fresh_database(server, "tree_bench"), plan.tree_entries, plan.tree_tries, plan.tree_tries)
        tell("export")
        exported = measure_export(fresh_database(server, "export_bench"), plan.export_entries, home)
        tell("precedents")
        found = measure_precedents(fresh_database(server, "precedents_bench"), plan.vectors)
    finally:
        server.stop()
    tell("done")
    return Findings(
        machine,
        is_quiet(load_average),
        str(plan),
        endpoints,
        appends,
        verified,
        exported,
        api_start_mb,
        api_mb,
        approve_us,
        escalate_us,
        twenty_rules_us,
        fifty_rules_ms,
        import_per_second,
        analysed_seconds,
        replayed,
        tree,
        [*used, paced, found, *grown],
    )


def _measure_api(
    home: Path, server: EmbeddedPostgres, plan: Plan, tell: Callable[[str], None]
) -> tuple[list[EndpointRow], float, float, Replayed, float | None, list[Part]]:
    """The endpoints, the API's memory in MB before and after them, a replay of what it decided, the import, and steady use of it."""
    postgres = psutil.Process(server.identity.pid)
    with running_api(home, fresh_database(server, "api")) as api, running_noop(home) as noop:
        start_mb = _resident_mb(api.served.process)
        endpoints = measure_endpoints(api, noop, postgres, plan.rounds, plan.endpoint_seconds, tell)
        loaded_mb = _resident_mb(api.served.process)
        tell("replay")
        replayed = replay_rate(api.database_url)
        tell("import")
        import_per_second = import_rate(api, plan.import_cases)
        tell("steady use")
        parts = [
            measure_anatomy(named_body(0), next(r.api_cpu_us for r in reversed(endpoints) if r.endpoint == WITH_KEY)),
            measure_steady(api, postgres, plan.rounds, plan.endpoint_seconds),
            measure_memory(api, plan.rounds, plan.endpoint_seconds),
        ]
        return endpoints, start_mb, loaded_mb, replayed, import_per_second, parts


def _measure_pipeline(home: Path, server: EmbeddedPostgres) -> list[Part]:
    """A day behind two histories, and the real log's days where it is present."""
    short, long = fresh_database(server, "daily_short"), fresh_database(server, "daily_long")
    postgres = psutil.Process(server.identity.pid)
    parts = [measure_daily(short, long, home, postgres, daily.Sizes())]
    with running_api(home, fresh_database(server, "backfill_bench")) as api:
        backfill = measure_backfill(api, home, postgres)
    return [*parts, backfill] if backfill else parts


def _measure_ledger(server: EmbeddedPostgres, plan: Plan, tell: Callable[[str], None]) -> tuple[list[AppendRow], Verified]:
    """Appends, and the verification of what their first round wrote."""
    url = fresh_database(server, "ledger_bench")
    verified: list[Verified] = []

    def verify() -> None:
        tell("verification")
        verified.append(verify_rate(url))

    appends = measure_appends(url, psutil.Process(server.identity.pid), plan.rounds, plan.append_seconds, tell, after_first=verify)
    return appends, verified[0]


def _resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
