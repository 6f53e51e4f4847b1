"""Backends that stand still: the server is there, its sockets take what is sent, and nothing is answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

BACKENDS = "select pid from pg_stat_activity where datname = current_database() and application_name = %s"


@contextmanager
def stopped_backends(url: str, application: str) -> Iterator[None]:
    """All sessions of this application's name are stopped meanwhile."""
    with psycopg.connect(url, autocommit=True) as connection:
        pids = [pid for (pid,) in connection.execute(BACKENDS, (application,))]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
