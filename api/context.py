"""Around every request: a correlation id, a log line, a measurement. Plain ASGI: the framework's middleware class costs 50 µs."""

from __future__ import annotations

import re
import sys
import time
from functools import lru_cache
from urllib.parse import parse_qsl

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.logs import AccessLog
from api.metrics import Measurements
from api.problems import answer_error, problem_response
from api.requests import CORRELATION_ID, NO_CORRELATION_ID, field_invalid, pointer_part
from precedent.clock import salt_bytes, to_instant
from precedent.guard.rate import Allowance
from precedent.guard.redact import redact_text

access_log = AccessLog(sys.stderr.buffer)

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Context:
    """Outermost of all: also what fails inside is logged, counted and answered with a problem."""

    def __init__(self, app: ASGIApp, measurements: Measurements) -> None:
        self._app = app
        self._measurements = measurements

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_ns = time.perf_counter_ns()
        headers = dict(scope["headers"])
        correlation_id = correlation_of(headers)
        scope["headers_by_name"] = headers
        scope["received_ns"] = started_ns
        scope["correlation_id"] = correlation_id or salt_bytes(16).hex()
        scope["is_callers_id"] = bool(correlation_id)
        status = 0
        request_id = headers.get(b"x-request-id")
        # Told back as it came, on every answer: by it a client of AuthZEN knows which of its requests was meant.
        echoed = [] if request_id is None else [(b"x-request-id", request_id)]

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-cid", scope["correlation_id"].encode()), *echoed, *_limits(scope)]
            await send(message)

        structlog.contextvars.bind_contextvars(correlation_id=scope["correlation_id"])
        try:
            if correlation_id == "":
                raise field_invalid("/header/x-cid", NO_CORRELATION_ID)
            _require_readable(scope)
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if status:  # the answer is under way: it can only be cut
                raise
            problem = answer_error(error)
            scope["problem_code"] = problem.code
            await problem_response(problem, scope["path"])(scope, receive, send_with_id)
        finally:
            self._finish(scope, status, (time.perf_counter_ns() - started_ns) / 1e9)
            structlog.contextvars.clear_contextvars()

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        self._measurements.observe(scope["method"], route, status, seconds)
        if "problem_code" in scope:
            self._measurements.count_problem(route, scope["problem_code"])
        self._log(scope, route, status, seconds)

    def _log(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """One line a request. What the caller chose, path and correlation id, is redacted; the rest is ours and need not be."""
        access_log.tell(
            {
                "correlation_id": told_id(scope),
                "method": scope["method"],
                "route": route,
                "path": _redacted_path(scope["path"]),
                "status": status,
                "ms": round(seconds * 1000, 3),
                **({"code": scope["problem_code"]} if "problem_code" in scope else {}),
                "event": "request",
                "level": "info",
                "timestamp": to_instant(time.time_ns() // 1000),
            }
        )


def told_id(scope: Scope) -> str:
    """The correlation id as logs and traces have it: redacted where the caller chose it."""
    known_as: str = scope["correlation_id"]
    return redact_text(known_as) if scope["is_callers_id"] else known_as


def _require_readable(scope: Scope) -> None:
    """A name that stands twice in a query would be read in one way here and perhaps in another by what stands before us.

    Raises: FieldInvalid.
    """
    query: bytes = scope["query_string"]
    if "\x00" in scope["path"] or b"%00" in query:
        raise field_invalid("", "a path or query holds a NUL character, which no database text can hold")
    seen: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else ():
        if name in seen:
            raise field_invalid(f"/query/{pointer_part(name)}", f"{name[:64]} stands twice in the query")
        seen.add(name)


def _limits(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What is left of the token's rate (draft-ietf-httpapi-ratelimit-headers, section 4); nothing where no token was seen."""
    left: Allowance | None = scope.get("allowance")
    if left is None:
        return []
    return [
        (b"ratelimit-policy", b'"token";q=%d;w=%d' % (left.quota, left.window_seconds)),
        (b"ratelimit", b'"token";r=%d;t=%d' % (left.remaining, left.reset_seconds)),
    ]


# The same few paths come again and again.
_redacted_path = lru_cache(maxsize=1024)(redact_text)


def correlation_of(headers: dict[bytes, bytes]) -> str | None:
    """The caller's id: `x-cid`, else the trace id of `traceparent`, else an `x-request-id` that can be one.

    None where none came, "" where `x-cid` is unusable.
    """
    sent = headers.get(b"x-cid")
    if sent is not None:
        text = sent.decode("latin-1")
        return text if CORRELATION_ID.fullmatch(text) else ""
    trace = headers.get(b"traceparent")
    match = TRACEPARENT.fullmatch(trace.decode("latin-1")) if trace is not None else None
    if match:
        return match.group(1)
    request_id = headers.get(b"x-request-id", b"").decode("latin-1")
    return request_id if CORRELATION_ID.fullmatch(request_id) else None
