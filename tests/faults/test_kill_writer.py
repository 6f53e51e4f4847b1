"""kill -9 at random, connections cut at random, 32 writers in 4 processes: no fork, no gap, nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from appending import claim_of
from cutting import Cut, CuttingProxy
from independent import require_chain

from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database

HERE = Path(__file__).resolve().parent
PROCESSES, WRITERS = 4, 8
CUTS_PER_REQUEST = 0.05


@dataclass(slots=True)
class Told:
    """What all processes said; a key is open while it was asked for and not answered."""

    entries: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)  # key: number of the process that asked last
    grown: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, process: int, line: str) -> None:
        word, key, *rest = line.split()
        with self.grown:
            if word == "asked":
                self.open[key] = process
                return
            self.open.pop(key)
            if word == "told":
                assert key not in self.entries, f"{key} was recorded twice"
                self.entries[key] = (rest[0], int(rest[1]), rest[2])
            else:
                self.found[key] = rest[0]
            self.grown.notify_all()

    def await_more(self, count: int) -> None:
        with self.grown:
            wanted = len(self.entries) + count
            assert self.grown.wait_for(lambda: len(self.entries) >= wanted, timeout=120), len(self.entries)


class Process:
    """One appending process, and the thread that listens to it."""

    numbers = 0

    def __init__(self, url: str, told: Told, open_keys: list[str], *options: str) -> None:
        Process.numbers += 1
        self.number = Process.numbers
        command = [sys.executable, str(HERE / "appending.py"), url, f"p{self.number}", str(WRITERS), *options]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(HERE.parent)}
        )
        assert self.child.stdin is not None
        self.child.stdin.write("\n".join(open_keys))
        self.child.stdin.close()
        self.told = told
        self.listener = threading.Thread(target=self._listen)
        self.listener.start()

    def _listen(self) -> None:
        assert self.child.stdout is not None
        with self.child.stdout:
            for line in self.child.stdout:
                if line.endswith("\n"):  # the last may be half written
                    self.told.hear(self.number, line)

    def kill(self) -> list[str]:
        """End it at once; the keys that it left open."""
        self.child.send_signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL, "it was alive until it was killed"
        return [key for key, number in self.told.open.items() if number == self.number]

    def wait(self) -> int:
        self.listener.join()
        return self.child.wait()


def run(url: str, *, kills: int, entries_between: int, seed: int) -> Told:
    chance, told, ways = random.Random(seed), Told(), cycle(Cut)

    def choose() -> Cut | None:
        return next(ways) if chance.random() < CUTS_PER_REQUEST else None

    with CuttingProxy(url, choose) as proxy:
        running = [Process(proxy.url, told, []) for _ in range(PROCESSES)]
        try:
            for _ in range(kills):
                told.await_more(chance.randrange(entries_between))
                victim = running.pop(chance.randrange(len(running)))
                running.append(Process(proxy.url, told, victim.kill()))
            told.await_more(entries_between)
        finally:
            for process in running:
                process.kill()
        assert set(proxy.cuts) == set(Cut), "every way to cut has been tried"
    settling = Process(url, told, list(told.open), "settle")
    assert settling.wait() == 0
    return told


def require_all_once(url: str, told: Told) -> None:
    """Every key that anybody asked for has one entry; whoever was told a place finds it there."""
    assert not told.open
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
        rows = connection.execute(
            "select seq, uuid_send(entry_id), envelope, leaf from ledger.entry where chain_id = %s order by seq", (chain_id,), binary=True
        ).fetchall()
        claims = dict(connection.execute("select claim, entry_id::text from precedent.idempotency").fetchall())
        decided = connection.execute("select count(*) from precedent.decisions").fetchone()
    require_chain(rows, chain_id.bytes)
    stood = {str(UUID(bytes=entry_id)): (seq, leaf.hex()) for seq, entry_id, _, leaf in rows}
    assert set(claims) == {claim_of(key) for key in told.entries | told.found}
    assert sorted(claims.values()) == sorted(stood), "an entry for each key, and none besides"
    for key, (entry_id, seq, leaf) in told.entries.items():
        assert (claims[claim_of(key)], stood[entry_id]) == (entry_id, (seq, leaf))
    for key, entry_id in told.found.items():
        assert claims[claim_of(key)] == entry_id
    assert decided == (len(rows),)
    report = verify_database(url, processes=1)
    assert report.is_intact, str(report)


def test_killed_and_cut_off_writers_leave_every_key_recorded_once(database_url: str) -> None:
    require_all_once(database_url, run(database_url, kills=3, entries_between=300, seed=1))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_killed_and_cut_off_writers_leave_every_key_recorded_once_at_length(database_url: str, seed: int) -> None:
    require_all_once(database_url, run(database_url, kills=25, entries_between=1000, seed=seed))
