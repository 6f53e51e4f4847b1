"""Webhooks from the append to a real receiver, on a real database, under the role that the API has."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from receiving import Reply, Request, receiving
from sample_entries import KEYRING, append_all, decision, escalation, fill, flag, outcome, personal_event
from sending_webhooks import World
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from precedent.errors import Conflict, FieldInvalid
from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.writer import append
from precedent.people import webhook_store as endpoints
from precedent.people.notify import Drained, drain, now_of
from precedent.people.pipeline_alerts import FailedRun, tell_failed_run
from precedent.people.store import count_messages
from precedent.people.webhooks import TOPICS, secrets_of


@pytest.fixture
def world(database_url: str) -> World:
    return World(database_url)


def script(*statuses: int, **headers: str) -> Callable[[Request], Reply]:
    """These statuses one after another, the last for ever."""
    left = list(statuses)
    return lambda _: Reply(left.pop(0) if len(left) > 1 else left[0], headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_receiver_gets_what_it_asked_for_signed_and_nothing_else(world: World) -> None:
    decided, escalated = decision(1, text="8 % off, says ada@example.org"), escalation(2)
    switched, came = flag("*", "*", enabled=False), outcome(decided.entry_id, 250_000)
    with receiving() as receiver:
        endpoint = world.add(f"{receiver.url}/hooks", "decision.escalated", "flag.changed", "outcome.recorded")
        append_all(world.url, [personal_event(3), decided, escalated, switched, came])
        assert world.drain() == Drained(delivered=3)
        assert world.drain() == Drained()
        requests = receiver.requests
    (secret,) = secrets_of(KEYRING, endpoint, world.clock)
    bodies = [Webhook(secret).verify(request.body, dict(request.headers)) for request in requests]
    assert [body["type"] for body in bodies] == ["decision.escalated", "flag.changed", "outcome.recorded"]
    assert bodies[0]["data"] == {
        "entry_id": str(escalated.entry_id), "decision_id": str(escalated.entry_id), "seq": 2, "hash": leaf_of(world, 2),
        "node": "finance", "action": "approve_discount",
    }  # fmt: skip
    assert {name: bodies[1]["data"][name] for name in ("node", "action", "enabled")} == {"node": "*", "action": "*", "enabled": False}
    assert bodies[2]["data"]["decision_id"] == str(decided.entry_id)
    assert len({request.headers["webhook-id"] for request in requests}) == 3
    assert not any("ada" in request.body.decode() or "%" in request.body.decode() for request in requests)


def test_a_failed_run_is_told_once_and_to_whoever_asked_alone(world: World) -> None:
    run = FailedRun(
        "0f6c9a3e-8f42-4b0e-9d5b-0a6f2f6f7c11", "aggregator", ["2026-03-01"], ["chain_is_unbroken"], [], "http://dagster/runs/1"
    )
    with receiving() as receiver:
        endpoint = world.add(f"{receiver.url}/hooks", "job.failed")
        world.add(f"{receiver.url}/others", "decision.recorded", name="others")
        for _ in range(2):
            tell_failed_run(world.url, "main", run, world.clock)
        assert world.drain() == Drained(delivered=1)
        tell_failed_run(world.url, "main", run, world.clock)
        tell_failed_run(world.url, "main", replace(run, run_id=str(uuid.uuid4())), world.clock)
        assert world.drain() == Drained(delivered=1)
        first, second = receiver.requests
    (secret,) = secrets_of(KEYRING, endpoint, world.clock)
    body = Webhook(secret).verify(first.body, dict(first.headers))
    assert (body["type"], body["data"]["job"], body["data"]["days"]) == ("job.failed", "aggregator", ["2026-03-01"])
    assert first.headers["webhook-id"] == "msg_0f6c9a3e8f424b0e9d5b0a6f2f6f7c11_job_failed" != second.headers["webhook-id"]
    assert count_messages_to_people(world) == 2, "one for each run"


def count_messages_to_people(world: World) -> int:
    with psycopg.connect(world.url) as owner:
        return len(owner.execute("select from precedent.outbox where topic = 'pipeline.run_failed'").fetchall())


def leaf_of(world: World, seq: int) -> str:
    with psycopg.connect(world.url) as owner:
        row = owner.execute("select encode(leaf, 'hex') from ledger.entry where seq = %s", (seq,)).fetchone()
    assert row is not None
    return str(row[0])


def test_every_type_comes_from_some_entry_and_history_sends_none(world: World) -> None:
    world.add("http://127.0.0.1:9/", *TOPICS)
    fill(world.url)
    assert {topic for (topic,) in world.rows("topic")} <= set(TOPICS)
    told = {topic for (topic,) in world.rows("topic")}
    assert told >= {"decision.recorded", "decision.escalated", "outcome.recorded", "policy.changed", "flag.changed"}
    before = len(world.rows("id"))
    append_all(world.url, [decision(7, verdict="escalate", as_of="2012-01-01T00:00:00.000000Z")])
    assert len(world.rows("id")) == before


def test_a_message_stands_and_falls_with_its_entry_and_a_rebuild_sends_nothing_again(world: World) -> None:
    world.add("http://127.0.0.1:9/", "decision.recorded")
    with psycopg.connect(world.url) as owner:
        append(owner, world.chain_id, [decision(1)])
        owner.rollback()
    assert world.rows("id") == []
    append_all(world.url, [decision(2)])
    rebuild_projections(world.url)
    assert len(world.rows("id")) == 1


def test_without_an_endpoint_nothing_is_written(world: World) -> None:
    append_all(world.url, [decision(1)])
    assert world.rows("id") == []


def test_a_message_that_is_tried_again_keeps_its_id_and_has_the_time_of_its_attempt(world: World) -> None:
    with receiving(script(500, 200)) as receiver:
        endpoint = world.add(receiver.url, "decision.recorded")
        append_all(world.url, [decision(1)])
        assert world.drain() == Drained(failed=1)
        world.clock.forward(60)
        assert world.drain() == Drained(delivered=1)
        first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 60
    assert first.body == second.body
    (secret,) = secrets_of(KEYRING, endpoint, world.clock)
    Webhook(secret).verify(second.body, dict(second.headers))


def test_an_endpoint_that_asks_for_patience_gets_it_and_holds_up_no_other(world: World) -> None:
    with receiving(script(429, retry_after="600")) as busy, receiving() as free:
        world.add(busy.url, "decision.recorded", name="busy")
        world.add(free.url, "decision.recorded", name="free")
        append_all(world.url, [decision(number) for number in range(3)])
        assert world.drain() == Drained(delivered=3, failed=1)
        world.clock.forward(599)
        assert world.drain() == Drained(), "its pause is of the endpoint, not of one message"
        world.clock.forward(2)
        assert world.drain() == Drained(failed=1)
        assert (len(busy.requests), len(free.requests)) == (2, 3)


def test_who_is_gone_is_asked_no_more_and_what_waited_is_shown_as_dead(world: World) -> None:
    with receiving(script(410)) as receiver:
        world.add(receiver.url, "decision.recorded")
        append_all(world.url, [decision(1), decision(2)])
        world.drain()
        append_all(world.url, [decision(3)])
        assert world.drain() == Drained()
        assert len(receiver.requests) == 1
    assert (world.endpoint().status, world.endpoint().status_reason) == ("disabled", "it answered 410 Gone")
    with world.connector() as connection:
        counts = count_messages(connection, world.chain_id)
    assert counts.dead == 2
    assert [error for (error,) in world.rows("last_error")] == [
        "ReceiverGone: webhook refused: status 410: it wants nothing any more",
        "its endpoint was disabled: it answered 410 Gone",
    ]


def test_while_a_secret_is_rotated_both_verify_and_then_the_new_one_alone(world: World) -> None:
    with receiving() as receiver:
        before = world.add(receiver.url, "decision.recorded")
        (old,) = secrets_of(KEYRING, before, world.clock)
        with psycopg.connect(world.url) as owner:
            owner.execute(endpoints.ROTATE, (now_of(world.clock) + timedelta(hours=1), world.chain_id, before.id))
        new, previous = secrets_of(KEYRING, world.endpoint(), world.clock)
        assert previous == old != new
        append_all(world.url, [decision(1)])
        world.drain()
        world.clock.forward(3601)
        append_all(world.url, [decision(2)])
        world.clock.forward(1)
        world.drain()
        during, after = receiver.requests
    for secret in (old, new):
        Webhook(secret).verify(during.body, dict(during.headers))
    assert len(during.headers["webhook-signature"].split()) == 2
    assert len(after.headers["webhook-signature"].split()) == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(after.body, dict(after.headers))


def test_webhooks_and_messages_to_people_are_drained_apart(world: World) -> None:
    with receiving() as receiver:
        world.add(receiver.url, "decision.escalated")
        append_all(world.url, [escalation(1)])
        taken: list[object] = []
        assert drain(world.connector, world.chain_id, taken.append, world.clock) == Drained(delivered=1)
        assert world.drain() == Drained(delivered=1)
        assert (len(taken), len(receiver.requests)) == (1, 1)


def test_an_endpoint_that_makes_no_sense_is_refused(world: World) -> None:
    world.add("http://127.0.0.1:9/", "flag.changed")
    with pytest.raises(Conflict):
        world.add("http://127.0.0.1:9/", "flag.changed")
    for topics in ([], ["flag.changed", "flag.exploded"]):
        with pytest.raises(FieldInvalid):
            world.add("http://127.0.0.1:9/", *topics, name="other")


def test_no_two_endpoints_and_no_two_versions_share_a_secret() -> None:
    ids = [uuid.UUID(int=number) for number in range(3)]
    assert len({KEYRING.webhook_key(one, version) for one in ids for version in (1, 2)}) == 6
