"""Steps of policies in tests: what stands where, and what a step comes to when another is recorded just before it appends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import psycopg

from precedent.ledger.entry import Draft
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append

T = TypeVar("T")


def states(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select name || '@' || version, status from precedent.policy_versions").fetchall()
    return dict(rows)


def while_waiting_to_append(url: str, step: Callable[[], T], draft: Draft) -> Future[T]:
    """What `step` comes to where `draft` is recorded after everything was checked and before it appends."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as watch:
        chain_id = chain_id_of(first, "main")
        first.execute("select 1 from ledger.chain for update")
        outcome = pool.submit(step)
        waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        while not outcome.done() and not watch.execute(waiting).fetchall():
            pass
        append(first, chain_id, [draft])
        first.commit()
    return outcome
