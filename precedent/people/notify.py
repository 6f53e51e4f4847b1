"""Delivering what the append left in the outbox: at least once, later and later after failures, dead after the tenth.

Invariant: a row leaves the queue by being delivered or by being marked dead, never by being lost. A message says which
decision it is about and nothing that was decided on: facts stay where access to them is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import psycopg

from precedent.adapters.contract import AdapterUnavailable
from precedent.clock import EPOCH, Clock
from precedent.guard.redact import redact_text
from precedent.people import store
from precedent.spans import correlation_of_run, is_told, span

MAX_ATTEMPTS = 10
# The first pause must outlast one delivery, or a second process would begin it anew: adapters stop at 10 s.
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 3600.0
ERROR_LIMIT_CHARACTERS = 500

TEXTS = {
    "review.opened": "{to}: {node}/{action} needs an answer. Decision {decision_id} waits for a person.",
    "review.reminder": "{to}: {node}/{action} still needs an answer. Decision {decision_id} waits for a person.",
    "review.raised": "{to}: {node}/{action} is not answered, and its time is nearly over. Decision {decision_id} waits for a person.",
    "review.timed_out": "{to}: {node}/{action} was not answered in time. Decision {decision_id} is held to what its policy says.",
    "review.answered": "{to}: {node}/{action} was answered. Decision {decision_id} tells how.",
    "decision.notify": "{to}: {node}/{action} was decided and took effect. Decision {decision_id} can be looked at.",
    "pipeline.run_failed": "{to}: the job {job} failed for {days}; {why}. {page}",
}
NOBODY = "whoever is on duty"
OUR_OWN = frozenset({"decision_id", "run_id", "page"})


@dataclass(frozen=True, slots=True)
class Message:
    """What is delivered. The key is the same at every attempt, so that a receiver can drop a copy; `subject_id` is that of the
    decision, or of the pipeline's run, that it is about."""

    idempotency_key: str
    topic: str
    recipient: str | None
    text: str
    subject_id: str


@dataclass(frozen=True, slots=True)
class Drained:
    """What one run did: delivered; failed and due again later; failed for the last time."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0


Connect: TypeAlias = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
Deliver: TypeAlias = Callable[[store.Claimed], object]


def drain(
    connect: Connect,
    chain_id: UUID,
    deliver: Deliver,
    clock: Clock,
    queue: store.Queue = store.Queue.PEOPLE,
    *,
    limit: int = 100,
    is_ending: Callable[[], bool] = lambda: False,
) -> Drained:
    """Deliver up to `limit` messages of one chain's queue that are due, the longest due first. Any number of processes may drain at once.

    `connect` gives a connection in autocommit mode under a role that may update the outbox. Whatever `deliver` raises is a
    failed attempt: one message must not stop those behind it. No message is begun once `is_ending`; the one begun is settled.

    Raises: DatabaseUnavailable, psycopg.Error: what was claimed is due again after its pause.
    """
    counts = {"delivered": 0, "failed": 0, "dead": 0}
    with connect() as connection:
        for _ in range(limit):
            if is_ending():
                break
            claimed = store.claim_message(
                connection,
                chain_id,
                now_of(clock),
                queue,
                first_pause_seconds=FIRST_PAUSE_SECONDS,
                longest_pause_seconds=LONGEST_PAUSE_SECONDS,
                stretch=_stretch(clock),
            )
            if claimed is None:
                break
            counts[_deliver(connection, chain_id, claimed, deliver, clock)] += 1
    return Drained(**counts)


def _deliver(connection: psycopg.Connection[Any], chain_id: UUID, claimed: store.Claimed, deliver: Deliver, clock: Clock) -> str:
    try:
        with span("deliver", follows=_cause_of(connection, chain_id, claimed)) as told:
            if told is not None:
                told.set_attributes({"precedent.topic": claimed.topic, "precedent.attempt": claimed.attempts})
            deliver(claimed)
    except Exception as error:
        is_dead = claimed.attempts >= MAX_ATTEMPTS
        words = redact_text(f"{type(error).__name__}: {error}")[:ERROR_LIMIT_CHARACTERS]
        store.mark_failed(connection, claimed.id, words, not_before=_asked_for(error, clock), dead_at=now_of(clock) if is_dead else None)
        return "dead" if is_dead else "failed"
    # If we crash here the message goes out again: twice is the price of never losing one.
    store.mark_delivered(connection, claimed.id, now_of(clock))
    return "delivered"


def _cause_of(connection: psycopg.Connection[Any], chain_id: UUID, claimed: store.Claimed) -> str | None:
    """The correlation id of the request, or of the pipeline's run, that left the message; looked up only where a trace is told."""
    if not is_told():
        return None
    if claimed.entry_id is None:
        run_id: str | None = claimed.payload.get("run_id")
        return run_id and correlation_of_run(run_id)
    return store.correlation_of(connection, chain_id, claimed.entry_id)


def message_of(claimed: store.Claimed) -> Message:
    """The message of one row of the outbox; what is in it by name is redacted, all but ids and addresses of our own.

    Raises: KeyError for a topic without a text, or a row without one of its names.
    """
    payload = {name: str(value) for name, value in claimed.payload.items() if value is not None}
    recipient = payload.get("to")
    told = {name: value if name in OUR_OWN else redact_text(value) for name, value in (payload | {"to": recipient or NOBODY}).items()}
    text = TEXTS[claimed.topic].format_map(told)
    subject = payload["run_id" if claimed.topic.startswith("pipeline.") else "decision_id"]
    return Message(f"outbox-{claimed.id}", claimed.topic, recipient, text, subject)


def channel_of(recipient: str | None) -> str:
    """The channel of a recipient that a policy names: `SALES_LEAD` is told in `#sales-lead`, nobody in particular in `#precedent`."""
    return "#" + (recipient or "precedent").lower().replace("_", "-").replace(" ", "-")


def _stretch(clock: Clock) -> float:
    """From 1 to 1.5: messages that failed together do not come back together. Never below 1, or a pause would end before a delivery."""
    return 1.0 + int.from_bytes(clock.random_bytes(2), "big") / 131_072


def _asked_for(error: Exception, clock: Clock) -> datetime | None:
    """When the other side asked us to come back, an hour from now at most; None where it did not say."""
    seconds = error.retry_after_seconds if isinstance(error, AdapterUnavailable) else None
    return None if seconds is None else now_of(clock) + timedelta(seconds=min(seconds, LONGEST_PAUSE_SECONDS))


def now_of(clock: Clock) -> datetime:
    """The clock's time with its zone, as the database takes it."""
    return (EPOCH + timedelta(microseconds=clock.now_us())).astimezone(UTC)
