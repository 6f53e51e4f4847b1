"""Events as their senders write them, read and recorded: our own plain form, and CloudEvents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.cloudevents import CloudEvent
from api.requests import Members, field_invalid
from api.services import Services
from precedent.call import Call
from precedent.guard.access import Principal
from precedent.ledger.canonical import member_texts
from precedent.ledger.idempotency import identity_of
from precedent.record import Happening, Recorded

MEMBERS = ("type", "actor", "correlation_id", "correlationId", "ts", "as_of", "source", "subject", "payload")


async def record_plain(services: Services, principal: Principal, call: Call, members: Mapping[str, Any], prefix: str = "") -> Recorded:
    """Raises: FieldInvalid, ScopeMissing, and what recording does."""
    return await services.recorder.record_event(_happening_of(members, call.received.decode(), principal, prefix), call)


async def record_cloudevent(services: Services, call: Call, event: CloudEvent) -> Recorded:
    """Recorded once for its source and id; `call.claim` is not used.

    Raises: EventIdReused, and what recording does.
    """
    identity = identity_of(services.keyring, event.source, event.id, event.content)
    return await services.recorder.record_event(
        event.happening, call._replace(claim=identity, correlation_id=event.correlation_id or call.correlation_id)
    )


def require_no_key(call: Call) -> None:
    """Raises: FieldInvalid: an entry claims one thing, and two keys could contradict each other."""
    if call.claim is not None:
        raise field_invalid("/header/idempotency-key", "a CloudEvent is its own key, by source and id: send it without another")


def _happening_of(members: Mapping[str, Any], text: str, principal: Principal, prefix: str) -> Happening:
    read = Members(members, prefix)
    read.require_known(*MEMBERS)
    as_of_us = read.instant_us("as_of")
    if as_of_us is not None:
        principal.require("import")
    return Happening(
        type=str(read.text("type", is_required=True)),
        payload_text=member_texts(text).get("payload", "null"),
        actor=read.text("actor"),
        ts_us=read.instant_us("ts"),
        as_of_us=as_of_us,
        source=read.text("source"),
        subject=read.text("subject"),
        pointer=prefix,
    )
