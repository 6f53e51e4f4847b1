"""What takes one number each: verification, memory of the API, one evaluation of a policy, the import of a real log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import perf_counter

from precedent.ledger.verify import verify_database
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.evaluate import Control, Moment, evaluate
from precedent.policy.facts import type_facts
from precedent.settings import project_root
from tests.bench.stack import Api, clean_environment

FINANCE = "policies/finance/finance-constitution-1.0.0.yaml"
MAPPING = "examples/bpic2012/mapping.yaml"
LOG = "data/bpic2012/cases.csv"
LOG_CASES = 13_087


@dataclass(frozen=True, slots=True)
class Verified:
    """By one process, its backend beside it."""

    entries: int
    is_intact: bool
    entries_per_second: float
    projections_per_second: float


def verify_rate(url: str) -> Verified:
    """How fast the whole chain is verified: every stored byte of its entries, then all rows derived from them."""
    report = verify_database(url, processes=1)
    timings = report.timings
    return Verified(
        report.size,
        report.is_intact,
        entries_per_second=report.size / timings["entries"],
        projections_per_second=report.counts["projection_checked"] / timings["projections"],
    )


def evaluation_us(verdict: str, rounds: int = 7, loops: int = 2000) -> float:
    """Microseconds of one evaluation of the finance policy whose answer is `approve` (8 % at 31 %) or `escalate` (20 % at 31 %)."""
    path = project_root() / FINANCE
    policy = compile_policy(load_document(path.read_text(encoding="utf-8"), path.name))
    raw = {
        "deal_value": 12000,
        "base_margin_pct": Decimal("0.31"),
        "requested_discount_pct": Decimal("0.08" if verdict == "approve" else "0.20"),
        "customer_tier": "A",
    }
    facts = type_facts(policy.document.actions["approve_discount"], raw).rules
    moment, control = Moment(1_763_380_800_000_000, 1, 720), Control(halted=False, enabled=True, max_level=3)

    def once() -> str:
        return evaluate(policy, "approve_discount", facts, {}, moment, control).verdict

    assert once() == verdict
    return median(_timed(once, loops) for _ in range(rounds)) * 1e6


def _timed(call: Callable[[], object], loops: int) -> float:
    began = perf_counter()
    for _ in range(loops):
        call()
    return (perf_counter() - began) / loops


def import_rate(api: Api, cases: int) -> float | None:
    """Cases a second of `precedent import` on the first of the real log, its own start included; None where the log is absent."""
    root = project_root()
    log = Path(os.environ.get("PRECEDENT_SHARED") or root.parent / "shared") / LOG
    if not log.is_file():
        return None
    argv = [sys.executable, "-m", "precedent.cli.main", "import", str(log), "--mapping", str(root / MAPPING)]
    argv += ["--limit", str(cases), "--strict", "--url", api.served.url]
    environment = clean_environment(api.home) | {"PRECEDENT_TOKEN": api.token}
    began = perf_counter()
    done = subprocess.run(argv, env=environment, cwd=api.home, capture_output=True, text=True, timeout=300)
    seconds = perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"the import ended with {done.returncode}: {done.stderr or done.stdout}")
    return cases / seconds
