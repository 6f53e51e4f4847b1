"""Slack's Web API: post a message to a channel.

Slack knows no idempotency key: a call whose answer got lost may show twice. The key travels in the message's metadata, so
that a reader of the channel can tell a copy from another message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable, Calls, Context, Health, RateLimit, Retries, seconds_in
from precedent.clock import Clock
from precedent.errors import SettingsInvalid
from precedent.settings import Settings

NAME = "slack"
TEXT_LIMIT_CHARACTERS = 4000  # beyond it Slack's advice is to split; it cuts at 40,000
HEALTH_TIMEOUT_SECONDS = 3.0

# Slack's own words for "not you, not now": anything else that it refuses, it would refuse again.
PASSING_ERRORS = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class PostMessage:
    """A message to post. `text` is plain: what Slack would read as markup of links and mentions is escaped."""

    channel: str
    text: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """Where the message stands: Slack's id of the channel, and its time stamp, which is the message's id there."""

    channel: str
    ts: str


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    ok: bool
    error: str = "unknown_error"
    channel: str = ""
    ts: str = ""


class SlackAdapter:
    """An `Adapter[PostMessage, Posted]`; one client, safe to share between threads."""

    name = NAME

    def __init__(
        self, token: str, base_url: str, clock: Clock, *, calls: Calls | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        # Slack allows about one message a second and channel, and short bursts.
        self._calls = calls or Calls(NAME, clock, RateLimit(per_second=1.0, burst=5, clock=clock), Retries())
        self._client = httpx2.Client(
            base_url=base_url.rstrip("/") + "/",
            headers={"authorization": f"Bearer {token}"},
            transport=transport,
        )

    def invoke(self, input: PostMessage, context: Context) -> Posted:
        """Raises: AdapterUnavailable, AdapterRefused."""
        body: dict[str, Any] = {
            "channel": input.channel,
            "text": input.text[:TEXT_LIMIT_CHARACTERS].translate(_ESCAPES),
            "unfurl_links": False,
        }
        if input.idempotency_key is not None:
            body["metadata"] = {"event_type": "precedent_message", "event_payload": {"idempotency_key": input.idempotency_key}}

        def attempt(left_seconds: float) -> Posted:
            answer = self._post("chat.postMessage", body, context.correlation_id, left_seconds)
            return Posted(answer.channel, answer.ts)

        return self._calls.call(attempt, context)

    def notify(self, channel: str, text: str, *, correlation_id: str = "notify", idempotency_key: str | None = None) -> Posted:
        """Post `text` to `channel`, with the time-out of a `Context`.

        Raises: AdapterUnavailable, AdapterRefused.
        """
        return self.invoke(PostMessage(channel, text, idempotency_key), Context(correlation_id))

    def health(self) -> Health:
        """Asks Slack whose token this is: down when it can't be reached or knows no such token, degraded when it asks us to wait."""
        try:
            self._post("auth.test", {}, "health", HEALTH_TIMEOUT_SECONDS)
        except AdapterRefused:
            return Health.DOWN
        except AdapterUnavailable as error:
            return Health.DOWN if error.retry_after_seconds is None else Health.DEGRADED
        return Health.OK

    def close(self) -> None:
        self._client.close()

    def _post(self, method: str, body: dict[str, Any], correlation_id: str, timeout_seconds: float) -> _Answer:
        try:
            # The time-out bounds each phase (connecting, sending, each read), not their sum: httpx2 knows no total.
            response = self._client.post(method, json=body, headers={"x-cid": correlation_id}, timeout=timeout_seconds)
        except httpx2.HTTPError as error:
            raise AdapterUnavailable(NAME, f"{type(error).__name__}: {error}") from error
        if response.status_code == 429:
            asked_seconds = seconds_in(response.headers.get("retry-after"))
            raise AdapterUnavailable(NAME, "it asks for fewer messages", 1.0 if asked_seconds is None else asked_seconds)
        if response.status_code >= 500:
            raise AdapterUnavailable(NAME, f"status {response.status_code}")
        try:
            answer = _Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise AdapterRefused(NAME, f"status {response.status_code} and an answer that is not Slack's") from error
        if not answer.ok and answer.error in PASSING_ERRORS:
            raise AdapterUnavailable(NAME, answer.error)
        if not answer.ok:
            raise AdapterRefused(NAME, answer.error)
        return answer


def slack_of(settings: Settings, clock: Clock) -> SlackAdapter:
    """The adapter that the settings name.

    Raises: SettingsInvalid without a token: Slack is off.
    """
    if settings.slack_bot_token is None:
        raise SettingsInvalid("Slack is off: set PRECEDENT_SLACK_BOT_TOKEN to a bot's token")
    return SlackAdapter(settings.slack_bot_token.get_secret_value(), settings.slack_base_url, clock)
