"""Typed client of the API, sync and async.

Every call that changes something carries an `Idempotency-Key`, chosen once and kept through all its attempts: an attempt
whose answer was lost makes nothing twice, so that trying again is always safe. What it raises is in `client_errors`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from precedent.client_calls import (
    Call,
    Decision,
    Outcome,
    Parts,
    Review,
    Reviewed,
    ReviewPage,
    Streamed,
    calls_of,
    get,
    post,
)
from precedent.client_errors import (
    AccessRefused,
    AnswerUnreadable,
    ClientError,
    InputNotAccepted,
    NotNow,
    NotThere,
    Patience,
    Refused,
    Unreachable,
    faults_of,
    read_answer,
    refusal_of,
)
from precedent.clock import Clock, SystemClock

__all__ = [
    "AccessRefused",
    "AnswerUnreadable",
    "AsyncClient",
    "Client",
    "ClientError",
    "Decision",
    "InputNotAccepted",
    "NotNow",
    "NotThere",
    "Outcome",
    "Patience",
    "Refused",
    "Unreachable",
    "faults_of",
    "refusal_of",
]

CONNECTIONS_LIMIT = 32
ATTEMPT_TIMEOUT_SECONDS = 30.0


def _counted(refusal: Refused) -> Mapping[str, Any]:
    """The counts of a stream of which nothing was recorded.

    Raises: Refused where that is not the reason.
    """
    if refusal.code != "EVENTS_REFUSED":
        raise refusal
    return refusal.content


def _each(answer: Mapping[str, Any]) -> list[Decision | ClientError]:
    """Of a batch: a problem has a code, which no decision has."""
    return [refusal_of(one["status"], one) if "code" in one else one for one in answer["answers"]]


def _next(path: str, filters: Mapping[str, object], page: Mapping[str, Any]) -> Call | None:
    """The call for the page after this one; None behind the last."""
    return None if page["next"] is None else get(path, **{**filters, "after": page["next"]})


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

    def batch(self, node: str, questions: Sequence[Mapping[str, object]], key: str | None) -> Call:
        return post(f"/decisions/{quote(node, safe='')}/batch", {"decisions": questions}, key or self._new_key())

    def outcome(self, decision_id: str, metrics: Mapping[str, object], key: str | None, others: Mapping[str, object]) -> Call:
        return post(f"/outcomes/{quote(decision_id, safe='')}", {"metrics": metrics, **others}, key or self._new_key())

    def answer(self, decision_id: str, answer: str, reason: str, digest: str, key: str | None) -> Call:
        content = {"answer": answer, "reason": reason, "digest": digest}
        return post(f"/decisions/{quote(decision_id, safe='')}/review", content, key or self._new_key())

    def proof(self, decision_id: str, *, is_awaited: bool) -> Call:
        return get(f"/decisions/{quote(decision_id, safe='')}/proof", wait="proof" if is_awaited else None)

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

    def decide_batch(self, node: str, questions: Sequence[Mapping[str, object]], *, key: str | None = None) -> list[Decision | ClientError]:
        """Of up to 1,000 questions, each as `decide` sends it: in their order the decision, or why it was refused."""
        return _each(self.send(self.batch(node, questions, key)))

    def get_decision(self, decision_id: str) -> dict[str, Any]:
        return dict(self.send(get(f"/decisions/{quote(decision_id, safe='')}")))

    def get_proof(self, decision_id: str, *, is_awaited: bool = False) -> dict[str, Any]:
        """That the decision stands under a signed checkpoint; waited for, where no checkpoint covers it yet."""
        return dict(self.send(self.proof(decision_id, is_awaited=is_awaited)))

    def decisions(self, **filters: object) -> Iterator[dict[str, Any]]:
        """All that match, newest first, page by page; `filters` are node, verdict, policy_version, limit (of a page) and after."""
        return self._items("/decisions", filters)

    def events(self, **filters: object) -> Iterator[dict[str, Any]]:
        """Likewise; `filters` are type, actor, since, limit and after."""
        return self._items("/events", filters)

    def reviews(self, **filters: object) -> Iterator[Review]:
        """The queue, page by page; `filters` are those of `list_reviews`."""
        return self._items("/reviews", filters)

    def _items(self, path: str, filters: Mapping[str, object]) -> Iterator[Any]:
        call: Call | None = get(path, **filters)
        while call is not None:
            page = self.send(call)
            yield from page["items"]
            call = _next(path, filters, page)

    def get_outcome(self, decision_id: str) -> dict[str, Any]:
        """`current`, the newest revision, null where there is none yet, and those before it as `earlier`."""
        return dict(self.send(get(f"/outcomes/{quote(decision_id, safe='')}")))

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

    async def health(self) -> dict[str, Any]:
        return dict(await self.send(get("/health")))

    async def append_event(self, event: Mapping[str, object], key: str | None = None) -> dict[str, Any]:
        return dict(await self.send(self.event(event, key)))

    async def append_events(self, events: Sequence[Mapping[str, object]], key: str | None = None) -> list[str]:
        return [str(one) for one in (await self.send(self.event(events, key)))["ids"]]

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

    async def decide_batch(
        self, node: str, questions: Sequence[Mapping[str, object]], *, key: str | None = None
    ) -> list[Decision | ClientError]:
        """As `Client.decide_batch`."""
        return _each(await self.send(self.batch(node, questions, key)))

    async def get_decision(self, decision_id: str) -> dict[str, Any]:
        return dict(await self.send(get(f"/decisions/{quote(decision_id, safe='')}")))

    async def get_proof(self, decision_id: str, *, is_awaited: bool = False) -> dict[str, Any]:
        return dict(await self.send(self.proof(decision_id, is_awaited=is_awaited)))

    def decisions(self, **filters: object) -> AsyncIterator[dict[str, Any]]:
        """As `Client.decisions`."""
        return self._items("/decisions", filters)

    def events(self, **filters: object) -> AsyncIterator[dict[str, Any]]:
        return self._items("/events", filters)

    def reviews(self, **filters: object) -> AsyncIterator[Review]:
        return self._items("/reviews", filters)

    async def _items(self, path: str, filters: Mapping[str, object]) -> AsyncIterator[Any]:
        call: Call | None = get(path, **filters)
        while call is not None:
            page = await self.send(call)
            for item in page["items"]:
                yield item
            call = _next(path, filters, page)

    async def get_outcome(self, decision_id: str) -> dict[str, Any]:
        return dict(await self.send(get(f"/outcomes/{quote(decision_id, safe='')}")))

    async def record_outcome(self, decision_id: str, metrics: Mapping[str, object], *, key: str | None = None, **others: object) -> Outcome:
        answer: Outcome = await self.send(self.outcome(decision_id, metrics, key, others))
        return answer

    async def list_reviews(self, **filters: object) -> ReviewPage:
        page: ReviewPage = await self.send(get("/reviews", **filters))
        return page

    async def review(self, decision_id: str, answer: str, reason: str, digest: str, *, key: str | None = None) -> Reviewed:
        recorded: Reviewed = await self.send(self.answer(decision_id, answer, reason, digest, key))
        return recorded
