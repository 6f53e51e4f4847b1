"""kill -9 in the middle of load: whoever had an answer finds their entry, and the chain is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from precedent.ledger.verify import verify_database

HERE = Path(__file__).resolve().parent
ANSWERS = 400


def test_every_acknowledged_entry_survives_a_killed_writer(database_url: str) -> None:
    told: list[list[str]] = []
    for _ in range(2):  # the second continues the chain that the first left
        told += kill_after(ANSWERS, database_url)
    with psycopg.connect(database_url) as connection:
        stood = {
            str(entry_id): (seq, leaf.hex())
            for seq, entry_id, leaf in connection.execute("select seq, entry_id, leaf from ledger.entry").fetchall()
        }
        decided = connection.execute("select count(*) from precedent.decisions").fetchone()
    assert len(told) >= 2 * ANSWERS
    for seq, entry_id, leaf_hex in told:
        assert stood[entry_id] == (int(seq), leaf_hex)
    assert decided == (len(stood),)
    report = verify_database(database_url, processes=1)
    assert report.is_intact, str(report)
    assert report.size == len(stood)


def kill_after(count: int, url: str) -> list[list[str]]:
    """Start the appending process, kill it in full flight once it has told `count` answers, and return all that it told."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen([sys.executable, str(HERE / "appending.py"), url], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(count)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL, "it was alive until it was killed"
    # The last line may be half written.
    return [line.split() for line in lines if line.endswith("\n")]
