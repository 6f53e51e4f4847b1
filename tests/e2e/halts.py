"""Halting several API processes under load that hear of nothing: their notifications are lost, and the halt holds all the same.

Listeners are cut before each change, and it is shown that none was there when the change was announced: what a process learns, it
learns from an append that was refused as stale.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import psycopg
from load import Load, require_epochs, require_recorded, under_load
from running_api import ApiProcess

from precedent.cli.halting import halt_with, resume_with
from precedent.cli.switches import SwitchesInDatabase
from precedent.ledger.verify import verify_database

LISTENERS = "from pg_stat_activity where datname = current_database() and application_name = 'precedent authority'"


def unheard(database_url: str, change: Callable[[], object]) -> bool:
    """Cut every listener, then change; whether nobody was listening from the cut until after the commit.

    A process whose listener was cut waits a second before it comes back. One that is back by the end may have heard.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"select pg_terminate_backend(pid, 5000) {LISTENERS}".encode())
        change()
        return connection.execute(f"select 1 {LISTENERS}".encode()).fetchone() is None


def halt_and_resume(servers: list[ApiProcess], threads: int, times: int) -> tuple[Load, int]:
    """Halt and resume everything, and then the node, so often, straight in the database, so that no process hears by its own route.

    Returns the load, and how many of the changes nobody heard of.
    """
    switches, url = SwitchesInDatabase(servers[0].settings), servers[0].database_url
    unheard_count = 0
    with under_load(servers, threads) as load:
        load.await_answers(20)
        for number in range(times):
            node = None if number % 2 == 0 else "finance"
            unheard_count += unheard(url, partial(halt_with, switches, node, None, f"incident {number}"))
            load.await_answers(len(servers) * threads + 10)
            unheard_count += unheard(url, partial(resume_with, switches, node, None, f"over {number}"))
            load.await_answers(10)
    return load, unheard_count


def require_halts_held(servers: list[ApiProcess], load: Load, times: int) -> None:
    """Nothing was refused; all is recorded; each decision was made under the flags of its place; a halt escalated or denied."""
    assert not load.refused
    assert load.broken == 0
    url = servers[0].database_url
    require_recorded(url, load.acknowledged)
    assert require_epochs(url) >= len(load.acknowledged)
    told = {(one["reasons"][0]["code"], one["verdict"], one["effective"]) for one in load.acknowledged}
    assert told == {("HALTED", "escalate", False), ("NOT_ENABLED", "deny", True), ("WITHIN_BROAD", "approve", True)}
    with psycopg.connect(url) as connection:
        flags = connection.execute("select count(*) from ledger.entry where get_byte(envelope, 1) = 6").fetchone()
    assert flags is not None
    assert flags[0] >= 2 * times, "each halt and each end of one is an entry"
    report = verify_database(url, processes=1)
    assert report.is_intact, str(report)
