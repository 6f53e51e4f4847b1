"""A database that lost what was signed is not appended to: the API ends at its start and says why."""

from __future__ import annotations

from pathlib import Path

import psycopg
from in_process import DEAL
from running_api import ApiProcess, Installation, free_ports, serve, wait_until

TABLES = (("checkpoint", "size > {n}"), ("entry", "seq >= {n}"), ("section", "seq >= {n}"))


def take_back(url: str, size: int) -> None:
    """What restoring an older backup does to the record."""
    with psycopg.connect(url) as connection:
        for table, beyond in TABLES:
            connection.execute(f"alter table ledger.{table} disable trigger user".encode())
            connection.execute(f"delete from ledger.{table} where {beyond.format(n=size)}".encode())
        connection.execute(b"delete from precedent.decisions where seq >= %s", (size,))


def test_an_api_on_a_database_that_was_taken_back_ends_at_its_start(installation: Installation, tmp_path: Path) -> None:
    with serve(installation, tmp_path) as (first,), first.client() as client:
        before = client.get("/ledger/head").json()["size"]
        for _ in range(3):
            assert client.post("/decisions/finance", json=DEAL).status_code == 201
        first.drain()  # the last checkpoint covers all that was answered
    with psycopg.connect(installation.database_url) as connection:
        assert connection.execute("select max(size) from ledger.checkpoint").fetchone() == (before + 3,)

    take_back(installation.database_url, before)
    (port,) = free_ports(1)
    second = ApiProcess(installation, tmp_path / "second.log", port)
    try:
        wait_until(lambda: second.process.poll() is not None, 30, "the API to end")
    finally:
        second.kill()
    assert second.process.returncode != 0
    words = second.log.read_text()
    assert f"has a signed checkpoint of {before + 3} entries, the database has {before}" in words
    assert "bring back the newer database" in words
