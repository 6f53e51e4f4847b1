"""Load from many threads on real processes, which keeps what was acknowledged and how."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
import psycopg
from running_api import ApiProcess

from precedent.ledger.entry import Kind

DEAL: dict[str, Any] = {"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}


@dataclass(slots=True)
class Load:
    """Decisions asked without a pause until told to stop; `acknowledged` holds the answers, `refused` those that were none."""

    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    refused: list[httpx2.Response] = field(default_factory=list)
    broken: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    grown: threading.Condition = field(default_factory=threading.Condition)

    def run(self, server: ApiProcess) -> None:
        with server.client() as client:
            while not self.ended.is_set():
                try:
                    answer = client.post("/decisions/finance", json=DEAL)
                except httpx2.TransportError:
                    with self.grown:
                        self.broken += 1
                        self.grown.notify_all()
                    return
                with self.grown:
                    (self.acknowledged if answer.status_code == 201 else self.refused).append(
                        answer.json() if answer.status_code == 201 else answer
                    )
                    self.grown.notify_all()

    def await_answers(self, count: int) -> None:
        """Return once so many more were acknowledged."""
        with self.grown:
            wanted = len(self.acknowledged) + count
            assert self.grown.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=60), len(self.acknowledged)

    def await_broken(self, count: int) -> None:
        """Return once so many threads have lost their server: one may still be reading an answer when its server is killed."""
        with self.grown:
            assert self.grown.wait_for(lambda: self.broken >= count, timeout=60), self.broken


@contextmanager
def under_load(servers: Sequence[ApiProcess], threads: int) -> Iterator[Load]:
    """So many threads ask each server while the block runs."""
    load = Load()
    with callers([threading.Thread(target=load.run, args=(server,)) for server in servers for _ in range(threads)], load.ended):
        yield load


@contextmanager
def callers(threads: Sequence[threading.Thread], ended: threading.Event) -> Iterator[None]:
    """The threads run while the block does; then `ended` tells them so, and they are waited for."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def require_recorded(database_url: str, acknowledged: Sequence[dict[str, Any]]) -> None:
    """Every acknowledged decision stands in the ledger, at the place that its receipt names."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select entry_id::text, seq, encode(leaf, 'hex') from ledger.entry").fetchall()
    places = {entry_id: (seq, leaf) for entry_id, seq, leaf in rows}
    assert {one["id"]: (one["receipt"]["seq"], one["hash"]) for one in acknowledged}.items() <= places.items()


def require_epochs(database_url: str) -> int:
    """Each decision names the epoch of the last flag or policy before it, and the control that held then; how many there were."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select e.seq, get_byte(e.envelope, 1), s.stored[1] from ledger.entry e join ledger.section s using (chain_id, seq) "
            "where not s.is_personal order by e.seq"
        ).fetchall()
    epoch, halted, judged = 0, False, 0
    flag = {"enabled": False, "max_level": 0}
    for seq, kind, stored in rows:
        core = orjson.loads(stored)
        if kind in (Kind.POLICY, Kind.FLAG):
            epoch = seq + 1
        if kind == Kind.FLAG and core["node"] == "*":
            halted = not core["enabled"]
        elif kind == Kind.FLAG and core["node"] == "finance":
            flag = {"enabled": core["enabled"], "max_level": core["max_level"]}
        elif kind == Kind.DECISION:
            judged += 1
            assert core["derivation"]["epoch"] == epoch, seq
            assert core["derivation"]["control"] == {"halted": halted, **flag}, seq
            if halted:
                assert core["result"]["reasons"][0]["code"] == "HALTED"
            elif not flag["enabled"]:
                assert core["result"]["verdict"] == "deny"
    return judged
