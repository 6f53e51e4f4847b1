"""Webhooks out: what they say, under which secrets, and what an endpoint's answer does to the endpoint.

An endpoint's secret is derived from the installation's root key, the endpoint's id and a version: the database holds none, and a copy of
it forges nothing. During a rotation the version before signs as well.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg

from precedent.adapters.contract import AdapterUnavailable
from precedent.adapters.webhook import ReceiverGone, Rules, post, rules_of, sign
from precedent.clock import Clock, to_instant
from precedent.errors import Conflict, Fault, FieldInvalid, NotFound
from precedent.ledger.keyring import Keyring
from precedent.people import webhook_store as endpoints
from precedent.people.notify import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Connect, now_of
from precedent.people.store import Claimed
from precedent.people.webhook_store import Endpoint
from precedent.settings import Settings

# As in ledger/project_webhooks.sql, but for what is no entry: pipeline_alerts.py leaves that.
JOB_FAILED = "job.failed"
TOPICS = {
    "decision.recorded": "each decision",
    "decision.escalated": "a decision that waits for a person",
    "review.answered": "a person's answer to a decision",
    "review.timed_out": "a review whose deadline passed",
    "outcome.recorded": "what came of a decision",
    "policy.changed": "a policy was activated, deactivated or withdrawn",
    "flag.changed": "an action's flag or the kill switch was set",
    JOB_FAILED: "a run of the pipeline failed",
}
TEST = "webhook.test"


class EndpointNotFound(NotFound):
    code = "ENDPOINT_NOT_FOUND"


def webhook_rules(settings: Settings) -> Rules:
    """Raises: ValueError where the settings name a network that is none."""
    return rules_of(settings.webhook_networks, is_https_required=settings.mode == "production")


def secrets_of(keyring: Keyring, endpoint: Endpoint, clock: Clock) -> list[bytes]:
    """That sign now, the current first."""
    versions = [endpoint.secret_version]
    if endpoint.previous_until is not None and endpoint.previous_until > now_of(clock):
        versions.append(endpoint.secret_version - 1)
    return [keyring.webhook_key(endpoint.id, version) for version in versions]


def written(secret: bytes) -> str:
    """A secret as receivers take it."""
    return "whsec_" + base64.b64encode(secret).decode()


@dataclass(frozen=True, slots=True)
class Webhook:
    """A message before it is signed: the id is the same at each attempt, and to each endpoint."""

    id: str
    body: bytes


def webhook_of(claimed: Claimed) -> Webhook:
    """What a row of the outbox says: the place and names of an entry, or of a run that failed."""
    data = dict(claimed.payload)
    recorded_at = to_instant(data.pop("recorded_us"))
    about = claimed.entry_id or UUID(data["run_id"])
    body = {"type": claimed.topic, "timestamp": recorded_at, "data": data}
    return Webhook(f"msg_{about.hex}_{claimed.topic.replace('.', '_')}", orjson.dumps(body))


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Sends one chain's webhooks. `connect` as of `drain`."""

    connect: Connect
    chain_id: UUID
    keyring: Keyring
    rules: Rules
    clock: Clock

    def deliver(self, claimed: Claimed) -> None:
        """Send one, and note at the endpoint what its answer means for those behind it: a pause, or the end.

        Raises: AdapterUnavailable, AdapterRefused, EndpointNotFound.
        """
        if claimed.endpoint_id is None:
            raise EndpointNotFound("the message is for no endpoint")
        with self.connect() as connection:
            endpoint = endpoints.find_endpoint(connection, self.chain_id, claimed.endpoint_id)
            if endpoint is None:
                raise EndpointNotFound("the endpoint is gone")
            try:
                self.send(endpoint, webhook_of(claimed))
            except AdapterUnavailable as error:
                seconds = min(max(error.retry_after_seconds or 0.0, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                connection.execute(endpoints.PAUSE, (now_of(self.clock) + timedelta(seconds=seconds), self.chain_id, endpoint.id))
                raise
            except ReceiverGone:
                endpoints.disable(connection, self.chain_id, endpoint.id, "it answered 410 Gone", now_of(self.clock))
                raise

    def send(self, endpoint: Endpoint, webhook: Webhook) -> int:
        """Sign and post; the status, which is 2xx.

        Raises: AdapterUnavailable, AdapterRefused.
        """
        headers = sign(secrets_of(self.keyring, endpoint, self.clock), webhook.id, self.clock.now_us() // 1_000_000, webhook.body)
        return post(endpoint.url, headers, webhook.body, self.rules, self.clock)

    def test(self, endpoint: Endpoint) -> int:
        """Send a message that says nothing, past the outbox; the status.

        Raises: as `send`.
        """
        body = {"type": TEST, "timestamp": to_instant(self.clock.now_us()), "data": {"endpoint": endpoint.name}}
        return self.send(endpoint, Webhook(f"msg_{self.clock.new_id().hex}_webhook_test", orjson.dumps(body)))


def add_endpoint(
    connection: psycopg.Connection[Any], chain_id: UUID, name: str, url: str, topics: list[str], rules: Rules, clock: Clock
) -> Endpoint:
    """Raises: FieldInvalid, AdapterRefused where the URL cannot be sent to, Conflict where the name is in use."""
    unknown = sorted(set(topics) - set(TOPICS))
    if unknown or not topics:
        message = f"no such type: {', '.join(unknown)}" if unknown else "at least one type is needed"
        raise FieldInvalid(message, [Fault("FIELD_INVALID", "/type", message)])
    rules.require_url(url)
    try:
        connection.execute(endpoints.INSERT, (chain_id, clock.new_id(), name, url, sorted(set(topics))))
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"an endpoint of the name '{name}' exists") from error
    return require_endpoint(connection, chain_id, name)


def require_endpoint(connection: psycopg.Connection[Any], chain_id: UUID, name: str) -> Endpoint:
    """Raises: EndpointNotFound."""
    found = endpoints.find_endpoint(connection, chain_id, name)
    if found is None:
        raise EndpointNotFound(f"no endpoint has the name '{name}'")
    return found
