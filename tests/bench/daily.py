"""The morning's runs over a day of many decisions, behind a history and behind one ten times as long.

Features, snapshots, vectors, how precedents are searched, and what is stated of them. The jobs run as Dagster runs them, in a process
of their own, all but the verification of the ledger, whose cost is that of the ledger and is told elsewhere. The history is planted in
the projections, under a real chain of leaves, and derived before the clock starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import psutil
import psycopg

from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.entry import ENVELOPE, NO_PREVIOUS, Kind, leaf_of
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.signer import Signer
from tests.bench.exports import SEED
from tests.bench.pipeline import PipelineRun, run_days
from tests.bench.report import Goal, Part

FIRST = date(2020, 1, 1)
NOTE = (
    "*Daily run*: dbt's models with their tests, snapshots, vectors and the calibration after one day, whose decisions each have an "
    "outcome the same day, with what is stated of them in the ledger; the verification of the ledger before it is left out. Memory is "
    "that of the run and its children, PostgreSQL's apart. The two days are compared by processor time, the server's included, as the "
    "two runs come one after the other on a machine that others use."
)

_DECISIONS = """
insert into precedent.decisions (
    chain_id, id, seq, node, action, policy_version, policy_digest, variant, inputs, output, verdict, autonomy_level, rule, reason,
    effective, requires_human, latency_ms, ts, known_at, recorded_at, correlation_id, entities, principal, imported, prev_hash, hash)
select c.id, md5('decision ' || n)::uuid, 2 * n, 'finance', 'approve_discount', 'finance-constitution@1.0.0', '00', 'A',
       jsonb_build_object('deal_value', 1000 * (1 + n * 7919 %% 500009), 'base_margin_pct', 500 + n * 31 %% 4000,
                          'requested_discount_pct', n * 17 %% 1500, 'customer_tier', substr('ABC', 1 + (n %% 3)::int, 1)),
       '{}', v.verdict, v.level, v.verdict || '.rule', 'REASON', v.verdict = 'approve', v.verdict = 'escalate', 1 + n %% 7,
       a.at, a.at, a.at, 'bench', jsonb_build_object('customer', 'c-' || n * 7907 %% %(customers)s), 'bench', true, '', ''
from ledger.chain c cross join generate_series(%(from)s::bigint, %(to)s::bigint - 1) n
cross join lateral (select %(day)s::date::timestamp at time zone 'UTC' + ((n - %(from)s) / %(per_day)s) * interval '1 day'
                           + ((n - %(from)s) %% %(per_day)s) * interval '80000 seconds' / %(per_day)s as at) a
cross join lateral (select (array['approve', 'approve', 'deny', 'escalate'])[1 + n * 13 %% 4] as verdict,
                           (array[1, 2, 3, 0])[1 + n * 13 %% 4] as level) v
where c.name = 'main'
"""
_OUTCOMES = """
insert into precedent.outcomes (
    chain_id, decision_id, revision, id, seq, recorded_at, known_at, observed_at, metrics, reward, counted, principal, imported,
    correlation_id)
select chain_id, id, 1, md5('outcome ' || seq)::uuid, seq + 1, known_at, known_at + interval '1 hour', known_at + interval '1 hour',
       jsonb_build_object('won', seq %% 3 = 0), (seq %% 5) / 4.0, true, 'bench', true, 'bench'
from precedent.decisions where seq >= 2 * %(from)s
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """A day of so many decisions after so many days of so many; the long history has ten times the days."""

    decisions: int = 50_000
    customers: int = 20_000
    history_days: int = 100
    history_decisions: int = 100


def measure_daily(short_url: str, long_url: str, home: Path, postgres: psutil.Process, sizes: Sizes) -> Part:
    """The same day with both histories, each in a database of its own."""
    short = _measure(short_url, home, postgres, sizes, sizes.history_days)
    long = _measure(long_url, home, postgres, sizes, 10 * sizes.history_days)
    kept = sizes.history_days * sizes.history_decisions
    return Part(
        goals=(
            Goal(f"daily run of {sizes.decisions:,} decisions", short.seconds, 180, " s", at_least=False),
            Goal(f"the same behind {10 * kept:,} instead of {kept:,}", long.cpu_seconds / short.cpu_seconds, 1.3, " ×", at_least=False),
            Goal("memory of the daily run", max(short.peak_mb, long.peak_mb), 1500, " MB", at_least=False),
        ),
        rows=[
            [
                f"daily run, {days:,} days behind it",
                f"{run.seconds:.0f} s, {run.cpu_seconds:.0f} s of processors: "
                + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.steps.items()),
            ]
            for days, run in ((sizes.history_days, short), (10 * sizes.history_days, long))
        ],
        note=NOTE,
    )


def _measure(url: str, home: Path, postgres: psutil.Process, sizes: Sizes, days: int) -> PipelineRun:
    last = FIRST + timedelta(days=days)
    kept = days * sizes.history_decisions
    plant(url, home, 0, kept, FIRST, sizes.history_decisions, sizes.history_decisions)
    # The last step makes the index of vectors over the history; the day's are added to it one by one.
    run_days(url, home, postgres, FIRST, last - timedelta(days=1))
    plant(url, home, kept, kept + sizes.decisions, last, sizes.decisions, sizes.customers)
    return run_days(url, home, postgres, last, last)


def plant(url: str, home: Path, start: int, end: int, day: date, per_day: int, customers: int) -> None:
    """Decisions `start` … `end` − 1 from `day` on, with their outcomes, and the leaves of as many entries, integrated."""
    with psycopg.connect(url) as connection:
        parameters = {"from": start, "to": end, "day": day, "per_day": per_day, "customers": customers}
        connection.execute(_DECISIONS, parameters)
        connection.execute(_OUTCOMES, parameters)
        chain_id, size, previous = _head(connection)
        statement = "copy ledger.entry (chain_id, seq, entry_id, envelope, leaf, commits) from stdin (format binary)"
        with connection.cursor().copy(statement) as copy:
            copy.set_types(["uuid", "int8", "uuid", "bytea", "bytea", "bytea"])
            # What was stated of the history stands in between, so that the two series of numbers part; nothing here joins them.
            for seq in range(size, max(2 * end, size + 2 * (end - start))):
                envelope = ENVELOPE.pack(1, Kind.EVENT, chain_id.bytes, seq, seq + 1, UUID(int=seq + 1).bytes, previous, bytes(32))
                previous = leaf_of(envelope)
                copy.write_row((chain_id, seq, UUID(int=seq + 1), envelope, previous, b""))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
    with TemporaryDirectory(dir=home) as folder:
        signer = Signer(origin_of(chain_id), SEED, Path(folder) / "signer")
        integrator = Integrator(url, chain_id, signer, FolderAnchor(Path(folder) / "anchor"))
        while integrator.step():
            pass
        integrator.close()


def _head(connection: psycopg.Connection) -> tuple[UUID, int, bytes]:
    row = connection.execute("select chain_id, size, leaf from precedent.ledger_heads where chain = 'main'").fetchone()
    assert row is not None
    return row[0], row[1], row[2] or NO_PREVIOUS
