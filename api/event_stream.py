"""A stream of events, one JSON object a line, of any length: read as it comes, appended while more of it comes.

What has come is appended before more is read, so that memory stays flat and the sender waits when the ledger does. There is no
acknowledgement on the way: the one answer follows the last commit. What was committed before a stream broke off stands; under the
same Idempotency-Key each line is recorded once, at its place, however often the stream is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.answers import REPLAYED, json_response, receipt_of
from api.cloudevents import read_structured
from api.happenings import record_cloudevent, record_plain
from api.problems import Problem, answer_error, problem_body
from api.requests import authenticate, call_at, call_of, field_invalid, identify, parse_object
from api.services import STREAMS_AT_ONCE, Services, services_of
from precedent.call import Call
from precedent.errors import Unavailable
from precedent.guard.access import Principal
from precedent.ledger.entry import Appended
from precedent.record import Recorded
from precedent.spans import span

STREAM = "application/x-ndjson"
STREAMS = frozenset({STREAM, "application/ndjson", "application/jsonl"})
MAX_LINES_AT_ONCE = 256
MAX_REJECTED = 100

# A line's number from 1, and what came of it.
Settled: TypeAlias = tuple[int, Recorded | Exception]

log = structlog.get_logger("api")


@dataclass(slots=True)
class Progress:
    """What became of the lines so far; `rejected` keeps the first problems."""

    lines: int = 0
    accepted: int = 0
    refused: int = 0
    replayed: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)
    last: Appended | None = None

    def add(self, settled: list[Settled], path: str) -> None:
        """Raises: Unavailable where that became of any; the others have been counted."""
        away: Unavailable | None = None
        for number, result in settled:
            if isinstance(result, Unavailable):
                away = result
                continue
            self.lines += 1
            if isinstance(result, Recorded):
                self.accepted += 1
                self.replayed += result.is_replay
                self.last = result.place
                continue
            self.refused += 1
            problem = answer_error(result)
            if len(self.rejected) < MAX_REJECTED:
                self.rejected.append({"line": number} | problem_body(problem, path))
        if away is not None:
            raise away

    def counts(self) -> dict[str, int]:
        return {"lines": self.lines, "accepted": self.accepted, "refused": self.refused}

    def content(self, chain: str) -> dict[str, Any]:
        return {
            **self.counts(),
            "rejected": self.rejected,
            "last": None if self.last is None else {"id": str(self.last.entry_id)} | receipt_of(self.last, chain),
        }


async def record_stream(request: Request) -> Response:
    """201 with counts and the first problems by line; where none was recorded 422; where the stream ended early, why, with both."""
    services = services_of(request)
    progress = Progress()
    try:
        with span("stream") as told:
            try:
                await _record_lines(request, services, progress)
            finally:
                if told is not None:
                    told.set_attributes({f"precedent.{name}": count for name, count in progress.counts().items()})
        if not progress.lines:
            raise field_invalid("", "a stream has at least one event")
    except ClientDisconnect:
        log.warning("stream_broke_off", **progress.counts())
        raise
    except Exception as error:
        return _problem(request, services, progress, answer_error(error))
    if not progress.accepted:
        return _problem(request, services, progress, Problem(422, "EVENTS_REFUSED", f"none of {progress.lines} events was recorded"))
    is_replay = progress.replayed == progress.accepted
    return json_response(progress.content(services.settings.chain), 201, REPLAYED if is_replay else None)


async def lines_of(request: Request, limit_bytes: int) -> AsyncIterator[list[bytes | None]]:
    """The lines that came together, without their ends; None for one of more than `limit_bytes`, which is not kept.

    Raises: ClientDisconnect.
    """
    begun, is_too_long, has_more = b"", False, True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        has_more = message.get("more_body", False)
        *ended, begun = (begun + message.get("body", b"")).split(b"\n")
        if not has_more and begun:
            ended, begun = [*ended, begun], b""
        lines: list[bytes | None] = [line if len(line) <= limit_bytes else None for line in ended]
        if lines and is_too_long:
            lines[0], is_too_long = None, False
        if len(begun) > limit_bytes:
            begun, is_too_long = b"", True
        if lines:
            yield lines
    if is_too_long:
        yield [None]


async def _record_lines(request: Request, services: Services, progress: Progress) -> None:
    settings, number = services.settings, 0
    principal = await authenticate(request, services, "events:write")
    # What the key stands for is said line by line: the whole can't be known before it has been read.
    call = call_of(request, services, principal, b"")
    at_once = min(MAX_LINES_AT_ONCE, max(1, settings.append_queue_limit // (2 * STREAMS_AT_ONCE)))
    request.scope["may_pause"] = True  # the server's time-out for bodies is then one for pauses
    async for came in lines_of(request, settings.stream_line_limit_bytes):
        if request.app.state.is_stopping:
            raise Problem(503, "STOPPING", "this process is ending: send the stream again under its key", (), {"Retry-After": "1"})
        for first in range(0, len(came), at_once):
            lines = list(enumerate(came[first : first + at_once], number + 1))
            number += len(lines)
            async with services.stream_turns:
                # Asked again each time: a stream may last longer than its token.
                principal = await identify(request, services)
                principal.require("events:write")
                settled = await asyncio.gather(
                    *(_settle(services, principal, call, *line) for line in lines if line[1] is None or line[1].strip())
                )
            progress.add(settled, request.url.path)


async def _settle(services: Services, principal: Principal, call: Call, number: int, line: bytes | None) -> Settled:
    try:
        return number, await _record_line(services, principal, call, number, line)
    except Exception as error:
        return number, error


async def _record_line(services: Services, principal: Principal, call: Call, number: int, line: bytes | None) -> Recorded:
    if line is None:
        limit_bytes = services.settings.stream_line_limit_bytes
        raise Problem(413, "BODY_TOO_LARGE", f"one event has at most {limit_bytes} bytes")
    members = parse_object(line)
    text = line.decode()
    if "specversion" in members:
        return await record_cloudevent(services, call._replace(received=line), read_structured(members, text))
    if call.claim is not None:
        call = call._replace(claim=replace(call.claim, fingerprint=services.keyring.fingerprint(line)))
    return await record_plain(services, principal, call_at(call, number - 1, members, text, ""), members)


def _problem(request: Request, services: Services, progress: Progress, problem: Problem) -> Response:
    body = problem_body(problem, request.url.path) | progress.content(services.settings.chain)
    return json_response(body, problem.status, problem.headers, "application/problem+json")
