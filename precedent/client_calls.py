"""What the client sends and gets: one request, a stream of events cut into requests that can each be sent again, reviews."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlencode

import orjson

# Of a stream, so much is kept until it was answered, for another attempt.
PART_LINES = 5000
PART_BYTES = 1024 * 1024
MAX_REJECTED = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `key` is the Idempotency-Key; None for what changes nothing."""

    method: str
    path: str
    body: bytes | None = None
    key: str | None = None
    correlation_id: str | None = None
    media_type: str = "application/json"


def get(path: str, **query: object) -> Call:
    """A reading call; None in the query is left out."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return Call("GET", path + ("?" + urlencode(given) if given else ""))


def post(path: str, content: object, key: str, correlation_id: str | None = None) -> Call:
    """A changing call; a Decimal is written with its digits."""
    return Call("POST", path, orjson.dumps(content, default=_as_written), key, correlation_id)


def put(path: str, content: object, key: str) -> Call:
    """As `post`, for what is set."""
    return replace(post(path, content, key), method="PUT")


def _as_written(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"no JSON for {type(value).__name__}")


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


class Review(TypedDict):
    """The fields of a row of the queue that callers branch on; the whole row is there. An answer is bound to the `digest`."""

    decision_id: str
    kind: str
    node: str
    action: str
    status: str
    is_overdue: bool
    assigned_to: str | None
    due_at: str | None
    digest: str


class ReviewPage(TypedDict):
    """One page; `next` goes into `after`."""

    items: list[Review]
    next: str | None


class Reviewed(TypedDict):
    """A recorded answer; the whole of it is there."""

    id: str
    decision_id: str
    answer: str
    status: str
    reviewer: str


@dataclass(slots=True)
class Streamed:
    """What became of a stream's events; `rejected` holds the first problems, each with its `line`, from 1."""

    accepted: int = 0
    refused: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


class Parts:
    """A stream of events cut into requests that can each be sent again, and what came of them."""

    def __init__(self, key: str) -> None:
        self.result = Streamed()
        self._key = key
        self._lines: list[bytes] = []
        self._size = self._before = self._done = self._count = 0

    def add(self, event: Mapping[str, object] | bytes) -> Call | None:
        """The next request, once it is full. Bytes are a line that was written already."""
        self._lines.append((event if isinstance(event, bytes) else orjson.dumps(event, default=_as_written)) + b"\n")
        self._size += len(self._lines[-1])
        return self.take() if len(self._lines) >= PART_LINES or self._size >= PART_BYTES else None

    def take(self) -> Call | None:
        """The request of what was added since the last; None where that is nothing."""
        if not self._lines:
            return None
        call = Call("POST", "/events", b"".join(self._lines), f"{self._key}/{self._count}", media_type="application/x-ndjson")
        self._before, self._done = self._done, self._done + len(self._lines)
        self._count += 1
        self._lines, self._size = [], 0
        return call

    def settle(self, answer: Mapping[str, Any]) -> None:
        """Count what the answer to the last request taken says; its lines are told as the whole stream's."""
        self.result.accepted += int(answer["accepted"])
        self.result.refused += int(answer["refused"])
        room = MAX_REJECTED - len(self.result.rejected)
        self.result.rejected += [one | {"line": self._before + one["line"]} for one in answer["rejected"][:room]]


def calls_of(parts: Parts, events: Iterable[Mapping[str, object] | bytes]) -> Iterator[Call]:
    """The requests of a stream, one after another, each as soon as it is full."""
    for event in events:
        if (call := parts.add(event)) is not None:
            yield call
    if (call := parts.take()) is not None:
        yield call
