"""What can go wrong between a client and the API, how long a client goes on trying, and what an answer means.

ClientError
├── Unreachable        no answer to any attempt, or none but 429 and 5xx
├── AnswerUnreadable   an answer that isn't JSON, so not from the API
└── Refused            the API's problem, with status, code, detail and faults
    ├── InputNotAccepted (400, 413, 415, 422)   ├── AccessRefused (401, 403)
    ├── NotThere (404)                          └── NotNow (409)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from precedent.clock import Clock
from precedent.errors import Fault, PrecedentError

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


def faults_of(problem: Mapping[str, Any]) -> list[Fault]:
    """The faults that a problem lists."""
    listed = problem.get("errors") or []
    return [Fault(str(one.get("code", "")), str(one.get("pointer", "")), str(one.get("message", ""))) for one in listed]
