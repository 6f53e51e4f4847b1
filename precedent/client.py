"""Typed client of the API, sync and async.

Every call that changes something carries an `Idempotency-Key`, chosen once and kept through all its attempts: an attempt
whose answer was lost makes nothing twice, so that trying again is always safe.

ClientError
├── Unreachable        no answer to any attempt, or none but 429 and 5xx
├── AnswerUnreadable   an answer that isn't JSON, so not from the API
└── Refused            the API's problem, with status, code, detail and faults
    ├── InputNotAccepted (400, 413, 415, 422)   ├── AccessRefused (401, 403)
    ├── NotThere (404)                          └── NotNow (409)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict
from urllib.parse import quote

import httpx2
import orjson

from precedent.client_calls import Call, Parts, Reviewed, ReviewPage, Streamed, calls_of, get, post
from precedent.clock import Clock, SystemClock
from precedent.errors import Fault, PrecedentError

CONNECTIONS_LIMIT = 32
ATTEMPT_TIMEOUT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
PASSING = frozenset({429, 502, 503, 504})


class ClientError(PrecedentError):
    code = "CLIENT_ERROR"


class Unreachable(ClientError):
    code = "UNREACHABLE"


class AnswerUnreadable(ClientError):
    code = "ANSWER_UNREADABLE"


class Refused(ClientError):
    """The API's own words: its `code` is stable, `faults` point into what was sent; `content` is the whole answer."""

    def __init__(self, status: int, content: Mapping[str, Any]) -> None:
        self.status, self.content = status, content
        self.code = str(content.get("code", "UNKNOWN"))
        self.detail = str(content.get("detail") or content.get("title") or "refused")
        self.faults = tuple(faults_of(content))
        super().__init__(f"{self.detail} ({self.code}, {status})")


class InputNotAccepted(Refused):
    pass


class AccessRefused(Refused):
    pass


class NotThere(Refused):
    pass


class NotNow(Refused):
    pass


_REFUSALS: dict[int, type[Refused]] = {401: AccessRefused, 403: AccessRefused, 404: NotThere, 409: NotNow}
_REFUSALS.update(dict.fromkeys((400, 413, 415, 422), InputNotAccepted))


class Decision(TypedDict):
    """The fields of a decision's answer that callers branch on; the whole answer is there."""

    id: str
    node: str
    action: str
    verdict: str
    effective: bool
    requires_human: bool
    autonomy_level: int
    rule: str
    reason: str
    policy_version: str
    correlation_id: str
    ts: str


class Outcome(TypedDict):
    """One revision; `reward` is absent or null where the outcome gives none."""

    decision_id: str
    revision: int
    reward: NotRequired[float | None]


@dataclass(slots=True)
class Patience:
    """Says how long to wait before the next attempt: doubling pauses with full jitter, until `seconds` have passed."""

    clock: Clock
    seconds: float
    pauses: int = 0
    began_ns: int = -1

    def pause(self, asked_seconds: float = 0.0) -> float | None:
        """Seconds to wait before the next attempt, as many as the API asked for at least; None when time is up."""
        now_ns = self.clock.monotonic_ns()
        if self.began_ns < 0:
            self.began_ns = now_ns
        # Without jitter, all clients of a server that comes back would knock in the same instant and push it over again.
        share = int.from_bytes(self.clock.random_bytes(2), "big") / 0xFFFF
        pause = max(asked_seconds, share * min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self.pauses))
        self.pauses += 1
        return pause if (now_ns - self.began_ns) / 1e9 + pause <= self.seconds else None

    def pause_after(self, result: httpx2.Response | httpx2.TransportError) -> float | None:
        """As `pause`; None when `result` is final."""
        if not isinstance(result, httpx2.Response):
            return self.pause()
        return self.pause(_asked_pause(result)) if result.status_code in PASSING else None


def _asked_pause(response: httpx2.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_PAUSE_SECONDS) if text.isdecimal() else 0.0


def read_answer(result: httpx2.Response | httpx2.TransportError) -> Any:
    """The answer's JSON.

    Raises: ClientError, as the tree above says.
    """
    if not isinstance(result, httpx2.Response):
        raise Unreachable(f"couldn't reach the API: {str(result) or type(result).__name__}") from result
    try:
        content = orjson.loads(result.content) if result.content else None
    except orjson.JSONDecodeError as error:
        if result.status_code in PASSING:
            raise Unreachable(f"the API is unavailable ({result.status_code})") from error
        raise AnswerUnreadable(f"couldn't read the answer ({result.status_code}): it isn't JSON") from error
    if result.is_success:
        return content
    raise refusal_of(result.status_code, content if isinstance(content, dict) else {})


def refusal_of(status: int, problem: Mapping[str, Any]) -> ClientError:
    """The error that a problem means; also for one that stands in the place of a batch's element."""
    if status in PASSING or status >= 500:
        return Unreachable(f"the API is unavailable: {problem.get('detail') or problem.get('title') or 'no reason given'} ({status})")
    return _REFUSALS.get(status, Refused)(status, problem)


def _counted(refusal: Refused) -> Mapping[str, Any]:
    """The counts of a stream of which nothing was recorded.

    Raises: Refused where that is not the reason.
    """
    if refusal.code != "EVENTS_REFUSED":
        raise refusal
    return refusal.content


def faults_of(problem: Mapping[str, Any]) -> list[Fault]:
    """The faults that a problem lists."""
    listed = problem.get("errors") or []
    return [Fault(str(one.get("code", "")), str(one.get("pointer", "")), str(one.get("message", ""))) for one in listed]


class _Routes:
    """Where each call goes: the one place that both clients read."""

    def __init__(self, token: str | None, clock: Clock | None, patience_seconds: float) -> None:
        self.clock = clock or SystemClock()
        self.patience_seconds = patience_seconds
        self.headers = {"accept": "application/json", "user-agent": "precedent-client"}
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    def headers_of(self, call: Call) -> dict[str, str]:
        headers = {"x-cid": call.correlation_id} if call.correlation_id else {}
        if call.key is not None:
            headers["idempotency-key"] = call.key
        if call.body is not None:
            headers["content-type"] = call.media_type
        return headers

    def event(self, event: Mapping[str, object] | Sequence[Mapping[str, object]], key: str | None) -> Call:
        return post("/events", event, key or self._new_key())

    def decision(self, node: str, facts: Mapping[str, object], action: str | None, key: str | None, others: Mapping[str, object]) -> Call:
        content = {"facts": facts, **({"action": action} if action else {}), **others}
        return post(f"/decisions/{quote(node, safe='')}", content, key or self._new_key())

    def outcome(self, decision_id: str, metrics: Mapping[str, object], key: str | None, others: Mapping[str, object]) -> Call:
        return post(f"/outcomes/{quote(decision_id, safe='')}", {"metrics": metrics, **others}, key or self._new_key())

    def answer(self, decision_id: str, answer: str, reason: str, digest: str, key: str | None) -> Call:
        content = {"answer": answer, "reason": reason, "digest": digest}
        return post(f"/decisions/{quote(decision_id, safe='')}/review", content, key or self._new_key())

    def stream(self, key: str | None) -> Parts:
        return Parts(key or self._new_key())

    def _new_key(self) -> str:
        return str(self.clock.new_id())


class Client(_Routes):
    """The sync client; thread-safe, to be closed or used as a context."""

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        patience_seconds: float = 30.0,
        clock: Clock | None = None,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
        attempt_seconds: float = ATTEMPT_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(token, clock, patience_seconds)
        self.pause = pause
        limits = httpx2.Limits(max_connections=CONNECTIONS_LIMIT)
        self.http = httpx2.Client(
            base_url=base_url, headers=self.headers, timeout=attempt_seconds, limits=limits, transport=transport, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.http.close()

    def send(self, call: Call) -> Any:
        """The answer's JSON, after as many attempts as patience allows.

        Raises: ClientError.
        """
        patience = Patience(self.clock, self.patience_seconds)
        while True:
            result = self._attempt(call)
            if (seconds := patience.pause_after(result)) is None:
                return read_answer(result)
            self.pause(seconds)

    def _attempt(self, call: Call) -> httpx2.Response | httpx2.TransportError:
        try:
            return self.http.request(call.method, call.path, content=call.body, headers=self.headers_of(call))
        except httpx2.TransportError as error:
            return error

    def health(self) -> dict[str, Any]:
        return dict(self.send(get("/health")))

    def append_event(self, event: Mapping[str, object], key: str | None = None) -> dict[str, Any]:
        """The stored row, with its id."""
        return dict(self.send(self.event(event, key)))

    def append_events(self, events: Sequence[Mapping[str, object]], key: str | None = None) -> list[str]:
        """The ids, in order."""
        return [str(one) for one in self.send(self.event(events, key))["ids"]]

    def append_stream(self, events: Iterable[Mapping[str, object] | bytes], key: str | None = None) -> Streamed:
        """Append any number of events, in order and in flat memory; an event that is refused keeps no other from its place.

        Bytes are an event as a line of JSON, which is sent as it is.
        Called again with the same `key` and the same events after an error, it appends what is missing.
        """
        parts = self.stream(key)
        for call in calls_of(parts, events):
            try:
                parts.settle(self.send(call))
            except Refused as refusal:
                parts.settle(_counted(refusal))
        return parts.result

    def decide(
        self, node: str, facts: Mapping[str, object], *, action: str | None = None, key: str | None = None, **others: object
    ) -> Decision:
        """The decision; `others` are event_id, correlation_id, as_of or policy_version."""
        answer: Decision = self.send(self.decision(node, facts, action, key, others))
        return answer

    def get_decision(self, decision_id: str) -> dict[str, Any]:
        return dict(self.send(get(f"/decisions/{quote(decision_id, safe='')}")))

    def record_outcome(self, decision_id: str, metrics: Mapping[str, object], *, key: str | None = None, **others: object) -> Outcome:
        """The new revision and its reward; `others` are observed_at or as_of."""
        answer: Outcome = self.send(self.outcome(decision_id, metrics, key, others))
        return answer

    def list_reviews(self, **filters: object) -> ReviewPage:
        """A page of the queue; `filters` are status, kind, node, limit and after."""
        page: ReviewPage = self.send(get("/reviews", **filters))
        return page

    def review(self, decision_id: str, answer: str, reason: str, digest: str, *, key: str | None = None) -> Reviewed:
        """Answer: approve, deny, reverse or confirm; `digest` is the hash of the decision that was looked at."""
        recorded: Reviewed = self.send(self.answer(decision_id, answer, reason, digest, key))
        return recorded


class AsyncClient(_Routes):
    """The async client: at most 32 requests are in flight, others wait for their turn."""

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        patience_seconds: float = 30.0,
        clock: Clock | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(token, clock, patience_seconds)
        # No limit on waiting for a connection: the turns are given by the semaphore, in order.
        self.turns = asyncio.Semaphore(CONNECTIONS_LIMIT)
        limits = httpx2.Limits(max_connections=CONNECTIONS_LIMIT)
        self.http = httpx2.AsyncClient(
            base_url=base_url, headers=self.headers, timeout=ATTEMPT_TIMEOUT_SECONDS, limits=limits, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.http.aclose()

    async def send(self, call: Call) -> Any:
        """As `Client.send`."""
        patience = Patience(self.clock, self.patience_seconds)
        while True:
            result = await self._attempt(call)
            if (seconds := patience.pause_after(result)) is None:
                return read_answer(result)
            await asyncio.sleep(seconds)

    async def _attempt(self, call: Call) -> httpx2.Response | httpx2.TransportError:
        async with self.turns:
            try:
                return await self.http.request(call.method, call.path, content=call.body, headers=self.headers_of(call))
            except httpx2.TransportError as error:
                return error

    async def append_event(self, event: Mapping[str, object], key: str | None = None) -> dict[str, Any]:
        return dict(await self.send(self.event(event, key)))

    async def append_stream(self, events: AsyncIterable[Mapping[str, object] | bytes], key: str | None = None) -> Streamed:
        """As `Client.append_stream`."""
        parts = self.stream(key)
        async for event in events:
            await self._send_part(parts, parts.add(event))
        await self._send_part(parts, parts.take())
        return parts.result

    async def _send_part(self, parts: Parts, call: Call | None) -> None:
        if call is not None:
            try:
                parts.settle(await self.send(call))
            except Refused as refusal:
                parts.settle(_counted(refusal))

    async def decide(
        self, node: str, facts: Mapping[str, object], *, action: str | None = None, key: str | None = None, **others: object
    ) -> Decision:
        answer: Decision = await self.send(self.decision(node, facts, action, key, others))
        return answer

    async def record_outcome(self, decision_id: str, metrics: Mapping[str, object], *, key: str | None = None, **others: object) -> Outcome:
        answer: Outcome = await self.send(self.outcome(decision_id, metrics, key, others))
        return answer

    async def list_reviews(self, **filters: object) -> ReviewPage:
        page: ReviewPage = await self.send(get("/reviews", **filters))
        return page

    async def review(self, decision_id: str, answer: str, reason: str, digest: str, *, key: str | None = None) -> Reviewed:
        recorded: Reviewed = await self.send(self.answer(decision_id, answer, reason, digest, key))
        return recorded
