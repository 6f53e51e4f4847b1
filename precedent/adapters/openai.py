"""Servers of OpenAI's protocol: each attempt is a call of its own, metered before it is sent and after it was answered.

For the pipeline and the command line; no decision waits for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import httpx2

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable, Calls, Context, RateLimit, Retries, seconds_in
from precedent.adapters.costs import Usage, read_book
from precedent.adapters.meter import Call, Ended, Meter
from precedent.clock import Clock, SystemClock
from precedent.settings import Settings

if TYPE_CHECKING:
    from openai import OpenAI

NAME = "the server of models"
TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
# How long a server may ask us to stay away, in all.
PATIENCE_SECONDS = 60.0
TOO_EARLY = frozenset({408, 409, 429})
# Neither was a byte of the request sent.
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
# A tokenizer by bytes makes no more tokens than the text has bytes; one that adds marks adds a few.
MARKS = 8

Answer = TypeVar("Answer")


class ModelServer:
    """One client, of one server and chain."""

    def __init__(
        self,
        api_key: str,
        base_url: str | None,
        meter: Meter,
        clock: Clock,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        attempts: int = ATTEMPTS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`timeout_seconds` is an attempt's."""
        from openai import OpenAI  # a second of imports, which only the pipeline pays

        self._client = OpenAI(api_key=api_key, base_url=base_url, timeout=timeout_seconds, max_retries=0)
        self._meter = meter
        self._calls = Calls(NAME, clock, RateLimit(per_second=50.0, burst=50, clock=clock), Retries(attempts), pause)
        self._seconds = attempts * timeout_seconds + PATIENCE_SECONDS

    def ask(self, call: Call, send: Callable[[OpenAI], Answer]) -> Answer:
        """What `send` gives, tried again where the server was away or asked for patience.

        Raises: BudgetSpent, DatabaseUnavailable, with nothing sent; AdapterUnavailable, AdapterRefused.
        """
        tried = 0

        def attempt(_: float) -> Answer:
            nonlocal tried
            tried += 1
            return self._attempt(call, tried, send)

        return self._calls.call(attempt, Context(call.purpose, self._seconds))

    def _attempt(self, call: Call, number: int, send: Callable[[OpenAI], Answer]) -> Answer:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        held = self._meter.reserve(call, number)
        try:
            answer = send(self._client)
        except APIStatusError as error:
            why, is_passing = f"status {error.status_code}", error.status_code in TOO_EARLY or error.status_code >= 500
            self._meter.settle(held, Ended(None, why, was_used=False))
            if is_passing:
                raise AdapterUnavailable(NAME, why, seconds_in(error.response.headers.get("retry-after"))) from error
            raise AdapterRefused(NAME, why) from error
        except APIConnectionError as error:
            # Whoever read the request may have answered it, and counts it: nobody told us.
            self._meter.settle(held, Ended(None, type(error).__name__, was_used=not isinstance(error.__cause__, UNSENT)))
            raise AdapterUnavailable(NAME, type(error).__name__) from error
        except (OpenAIError, ValueError, TypeError, AttributeError) as error:
            self._meter.settle(held, Ended(None, type(error).__name__))
            raise AdapterRefused(NAME, "an answer that can't be read") from error
        self._meter.settle(held, Ended(_usage_of(answer, call)))
        return answer


def most_tokens(*texts: str) -> int:
    """More than any tokenizer by bytes makes of them."""
    return sum(len(text.encode()) + MARKS for text in texts)


def model_server_of(settings: Settings, url: str, chain_id: UUID, **options: Any) -> ModelServer | None:
    """The server that the settings name, metered by their file of costs; None without a key. `options` go to it.

    Raises: SettingsInvalid for a file of costs that can't be read.
    """
    if settings.openai_api_key is None:
        return None
    clock = SystemClock()
    meter = Meter(url, chain_id, read_book(settings.model_costs_file), clock)
    return ModelServer(settings.openai_api_key.get_secret_value(), settings.openai_base_url, meter, clock, **options)


def _usage_of(answer: object, call: Call) -> Usage | None:
    """What the server says it used; None where it does not, or where that is nothing for something."""
    told = getattr(answer, "usage", None)
    tokens_in = _count(getattr(told, "prompt_tokens", None))
    tokens_out = _count(getattr(told, "completion_tokens", None if call.most.tokens_out else 0))
    cached = _count(getattr(getattr(told, "prompt_tokens_details", None), "cached_tokens", None))
    if not tokens_in or tokens_out is None:
        return None
    return Usage(tokens_in, tokens_out, min(cached or 0, tokens_in))


def _count(value: object) -> int | None:
    """A whole number that a column can hold; whatever else a server sent is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
