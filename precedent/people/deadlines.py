"""Deadlines of escalations: a reminder, then the policy's owner is told too, then what the policy says holds.

One process at a time acts, by an advisory lock that ends with its session; the others look on. Leadership only spares work: each
step is an entry, and the append takes it once, so that two leaders, or one that was killed in mid-commit, do nothing twice. A
message goes out with its entry, by the outbox. Nothing here approves: silence is a denial, or stays a question.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog

from precedent.clock import Clock, to_instant
from precedent.db.engine import API, connect, with_options
from precedent.errors import LedgerBroken, Unavailable
from precedent.guard.access import SYSTEM
from precedent.ledger.entry import Appended, Draft, Kind, Section, draft_entry
from precedent.ledger.writer import append
from precedent.people.review_store import Due, read_due, try_to_lead
from precedent.people.reviews import instant_at

TICK_SECONDS = 5.0
LIMIT = 100

log = structlog.get_logger(__name__)


class Deadlines:
    """Acts on the deadlines of one chain. `act` is for one thread; `start` and `stop` run it beside an event loop."""

    def __init__(self, url: str, chain_id: UUID, clock: Clock) -> None:
        self._url = with_options(url, statement_timeout="15000")
        self._chain_id = chain_id
        self._clock = clock
        self._connection: psycopg.Connection[Any] | None = None
        self._is_leader = False
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="review-deadlines")

    async def stop(self) -> None:
        self._stop.set()
        if self._task:
            await self._task
        await asyncio.to_thread(self.close)

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if await asyncio.to_thread(self.act) == LIMIT:
                    continue
            except (Unavailable, LedgerBroken, psycopg.Error) as error:
                log.warning("deadlines_wait", error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_SECONDS)

    def close(self) -> None:
        """Give up the lead."""
        connection, self._connection, self._is_leader = self._connection, None, False
        if connection is not None:
            connection.close()

    def act(self) -> int:
        """Take the steps that are due, LIMIT at most; how many were due. 0 where another process leads.

        Raises: DatabaseUnavailable, LedgerBroken, psycopg.Error; the next call begins anew.
        """
        try:
            connection = self._lead()
            if connection is None:
                return 0
            now_us = self._clock.now_us()
            due = read_due(connection, self._chain_id, instant_at(now_us), LIMIT)
            if due:
                answers = append(connection, self._chain_id, [step_of(self._clock, one, now_us) for one in due])
                for one, answer in zip(due, answers, strict=True):
                    # Whoever answered in this instant was first: then there is nothing left to do.
                    if isinstance(answer, Appended):
                        log.info("review_" + one.step, decision_id=str(one.decision_id), node=one.node, seq=answer.seq)
            return len(due)
        except Exception:
            self.close()
            raise

    def _lead(self) -> psycopg.Connection[Any] | None:
        if self._connection is None:
            self._connection = connect(self._url, API, autocommit=True)
        self._is_leader = self._is_leader or try_to_lead(self._connection, self._chain_id)
        return self._connection if self._is_leader else None


def step_of(clock: Clock, due: Due, now_us: int) -> Draft:
    """The entry of a step that is due: whom it tells, and what holds from then on."""
    match due.step:
        case "remind":
            answer, to, reason = None, due.assigned_to, "half of the time for an answer has passed"
        case "raise":
            answer, to, reason = None, due.owner, "three quarters of the time for an answer have passed"
        case _:
            answer, to = due.on_timeout or "escalate", due.raised_to or due.assigned_to
            reason = f"nobody answered within {_worded(due.due_at - due.opened_at)}: by the policy "
            reason += "it is denied" if answer == "deny" else "it waits on for a person"
    core = {
        "op": due.step,
        "decision_id": str(due.decision_id),
        "node": due.node,
        "action": due.action,
        "kind": due.kind,
        "answer": answer,
        "reason": reason,
        "policy": due.policy_version,
        "rule": due.rule,
        "now": to_instant(now_us),
        "to": to,
        "principal": SYSTEM,
        "correlation_id": due.correlation_id,
    }
    return draft_entry(clock, Kind.REVIEW, {Section.CORE: core})


def _worded(period: timedelta) -> str:
    minutes = int(period.total_seconds()) // 60
    return f"{minutes // 60} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes} min"
