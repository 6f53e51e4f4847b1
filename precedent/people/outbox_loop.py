"""Drains the outbox by itself, in a thread beside whatever else the process does, until it is told to stop.

Invariant: at most one delivery is under way, so that stopping waits for one message and no more. Any number of processes may
run one: the claim decides whose a message is. It asks once a second instead of being told: a notification would cost every
append, where the answer to the question costs one look into a small index, on a connection of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog

from precedent.clock import Clock
from precedent.errors import PrecedentError
from precedent.people.notify import Connect, Deliver, Drained, drain, now_of
from precedent.people.store import Queue, forget_delivered

log = structlog.get_logger(__name__)

IDLE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
BATCH = 100  # messages between two looks at the counts
FORGET_BATCH = 500  # a few ms each; one a turn in which nothing was due
FORGET_EVERY_SECONDS = 3600.0


class OutboxLoop:
    """One thread that drains one queue of one chain's outbox."""

    def __init__(
        self,
        connect: Connect,
        chain_id: UUID,
        deliver: Deliver,
        clock: Clock,
        pause: Callable[[float], object] | None = None,
        queue: Queue = Queue.PEOPLE,
        keep_days: int | None = None,
    ) -> None:
        """With `keep_days` it also removes what was delivered longer ago, of either queue."""
        self._connect = connect
        self._chain_id = chain_id
        self._deliver = deliver
        self._clock = clock
        self._queue = queue
        self._ending = threading.Event()
        self._pause = pause or self._ending.wait
        self._keep_days = keep_days
        self._forget_after_ns = 0
        self._thread: threading.Thread | None = None
        self._failures = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run, name=f"outbox-{self._queue}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Begin no message any more; returns at once."""
        self._ending.set()

    def stop(self) -> None:
        """End, and wait until the message under way is settled: as long as one delivery at most."""
        self.end()
        if self._thread:
            self._thread.join()

    def run(self) -> None:
        """Drain until ended."""
        while not self._ending.is_set():
            try:
                with self._connect() as connection:
                    self._drain_by(connection)
            except (PrecedentError, psycopg.Error) as error:
                self._failures += 1
                log.warning("outbox_waits", error=str(error))
                self._pause(self._after(self._failures))

    def _drain_by(self, connection: psycopg.Connection[Any]) -> None:
        # One connection for as long as it lasts: a new one each second would cost the server more than the question.
        while not self._ending.is_set():
            done = drain(
                lambda: nullcontext(connection),
                self._chain_id,
                self._deliver,
                self._clock,
                self._queue,
                limit=BATCH,
                is_ending=self._ending.is_set,
            )
            self._failures = 0
            _tell(done)
            if done.delivered + done.failed + done.dead < BATCH:
                self._forget_by(connection)
                self._pause(IDLE_SECONDS)

    def _forget_by(self, connection: psycopg.Connection[Any]) -> None:
        """A batch of what is old enough, where there may be some: the next turn goes on where that was not all."""
        if self._keep_days is None or self._clock.monotonic_ns() < self._forget_after_ns:
            return
        before = now_of(self._clock) - timedelta(days=self._keep_days)
        gone = forget_delivered(connection, self._chain_id, before, FORGET_BATCH)
        if gone < FORGET_BATCH:
            self._forget_after_ns = self._clock.monotonic_ns() + int(FORGET_EVERY_SECONDS * 1e9)
        if gone:
            log.info("outbox_forgot", count=gone)

    def _after(self, failures: int) -> float:
        """Seconds to wait for the database: doubled each time, then shortened at random by up to a half."""
        full = min(IDLE_SECONDS * 2.0**failures, LONGEST_PAUSE_SECONDS)
        return full * (0.5 + int.from_bytes(self._clock.random_bytes(2), "big") / 131_072)


def _tell(done: Drained) -> None:
    counts = {"delivered": done.delivered, "failed": done.failed, "dead": done.dead}
    if done.failed or done.dead:
        log.warning("outbox_failed", **counts)
    elif done.delivered:
        log.info("outbox_drained", **counts)
