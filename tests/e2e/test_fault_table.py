"""What breaks, what callers are told then, and what is kept: one row a fault, each under load, on one running installation.

`FAULT_TABLE=docs/operations.md make test-faults` writes the numbers of its run there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from fault_stage import Stage, stage
from keyed_load import KeyedLoad, ask, keyed_load

from precedent.ledger.verify import verify_database

CALLERS = 4
AROUND = 10  # acknowledged before a fault, and again after it
ENOUGH = 4  # told of it, while it lasts
BEGIN, END = "<!-- fault table -->\n", "<!-- end of the fault table -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """Of one fault: how many keys were asked, what they were told, and what stood of those that were told nothing sure."""

    fault: str
    acknowledged: int
    refused: int
    cut: int
    found: int
    kept: int

    def line(self) -> str:
        asked = self.acknowledged + self.refused + self.cut
        return f"| {self.fault} | {asked} | {self.acknowledged} | {self.refused} | {self.cut} | {self.found} | {self.kept} |\n"


def database_killed(acting: Stage, load: KeyedLoad) -> None:
    acting.kill_database()
    load.await_refused(ENOUGH)
    acting.start_database()


def database_restarted(acting: Stage, _: KeyedLoad) -> None:
    acting.server.stop()
    acting.start_database()


def database_slow(acting: Stage, load: KeyedLoad) -> None:
    with acting.chain_held() as holder:
        holder.execute("select pg_sleep(0.7)")
    assert not load.open_keys, "less than the time for a commit is waited for"


def database_stuck(acting: Stage, load: KeyedLoad) -> None:
    with acting.chain_held():
        load.await_refused(ENOUGH)


def backend_frozen(acting: Stage, load: KeyedLoad) -> None:
    with acting.writer_frozen():
        load.await_refused(ENOUGH)


def disk_full(acting: Stage, load: KeyedLoad) -> None:
    if acting.disk is None:
        pytest.skip("no file system may be mounted by this user")
    with acting.disk_full():
        load.await_refused(ENOUGH)


def clock_moved(acting: Stage, load: KeyedLoad) -> None:
    for hours in (1, -1, 0):
        acting.move_clock(hours)
        load.await_acknowledged(AROUND)
    assert acting.newest_hours_ahead() > 0.9, "the time went ahead, and stayed there"
    assert not load.open_keys, "the time is nobody's reason to refuse"


def process_killed(acting: Stage, load: KeyedLoad) -> None:
    acting.api.kill()
    load.await_cut(ENOUGH)
    acting.api.start()


FAULTS: dict[str, Callable[[Stage, KeyedLoad], None]] = {
    "PostgreSQL killed (SIGKILL, all of it), started again": database_killed,
    "PostgreSQL restarted (fast)": database_restarted,
    "the append's lock held by another, shorter than an append is tried": database_slow,
    "the same, longer": database_stuck,
    "the writer's backend stopped (SIGSTOP), then let go on": backend_frozen,
    "disk of the entries' contents full, then room again": disk_full,
    "the database's clock an hour ahead, an hour behind, right": clock_moved,
    "API process killed (SIGKILL), another started": process_killed,
}


@pytest.fixture(scope="module")
def acting() -> Iterator[Stage]:
    with stage() as running:
        yield running


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    rows: list[Row] = []
    yield rows
    if (target := os.environ.get("FAULT_TABLE")) and len(rows) == len(FAULTS):
        text = Path(target).read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        head = "| fault | asked | acknowledged | refused (503) | cut off | of these two: recorded all the same | kept in the end |\n"
        Path(target).write_text(
            before + BEGIN + head + "|---|---|---|---|---|---|---|\n" + "".join(row.line() for row in rows) + END + after
        )


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_acknowledged_is_kept_once_whatever_fails(acting: Stage, table: list[Row], fault: str) -> None:
    table.append(suffer(acting, fault, 0))
    require_intact(acting.database_url)


@pytest.mark.long
def test_faults_one_after_another_lose_and_double_nothing_at_length(acting: Stage) -> None:
    for turn in range(1, 5):
        for fault in FAULTS:
            if acting.disk is not None or FAULTS[fault] is not disk_full:
                suffer(acting, fault, turn)
    require_intact(acting.database_url)


def suffer(acting: Stage, fault: str, turn: int) -> Row:
    """The fault under load; then every key is sent again, and each has one decision: the one that was acknowledged, if any was."""
    name = f"{FAULTS[fault].__name__}-{turn}"
    with keyed_load(acting.api, name, CALLERS) as load:
        load.await_acknowledged(AROUND)
        FAULTS[fault](acting, load)
        acting.await_ready()
        load.await_acknowledged(AROUND)
    for answer in load.refused.values():
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
    stood = decisions_of(acting.database_url, name)
    assert stood.keys() <= load.acknowledged.keys() | load.open_keys
    assert all(stood[key] == [answer["id"]] for key, answer in load.acknowledged.items())
    with acting.api.client() as client:
        again = {key: ask(client, key) for key in sorted(load.acknowledged.keys() | load.open_keys)}
    assert {answer.status_code for answer in again.values()} == {201}
    assert {key: again[key].json() for key in load.acknowledged} == load.acknowledged
    kept = decisions_of(acting.database_url, name)
    assert kept == {key: [answer.json()["id"]] for key, answer in again.items()}, "one decision a key, and none besides"
    assert all(kept[key] == ids for key, ids in stood.items())
    return Row(fault, len(load.acknowledged), len(load.refused), len(load.cut), len(stood.keys() & load.open_keys), len(kept))


def decisions_of(database_url: str, name: str) -> dict[str, list[str]]:
    """Ids of the decisions in the ledger of each key that begins so."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select d.correlation_id, array_agg(d.id::text) from precedent.decisions d join ledger.entry e on e.entry_id = d.id "
            "where starts_with(d.correlation_id, %s) group by 1",
            (f"{name}-",),
        ).fetchall()
    return dict(rows)


def require_intact(database_url: str) -> None:
    report = verify_database(database_url, processes=1)
    assert report.is_intact, str(report)
    with psycopg.connect(database_url) as connection:
        disordered = connection.execute(
            "select 1 from (select at, lag(at) over (order by seq) as before from "
            "(select seq, ledger.u64_at(envelope, 26) as at from ledger.entry) as timed) as pairs where at <= before"
        ).rowcount
    assert disordered == 0, "each entry is later than the one before"
