"""The one contract of all adapters, and the one way they call out: within a time-out, at a bounded rate, again after a pause.

Invariant: no pause and no retry starts that would end after the context's time-out. An attempt itself is given what is left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from precedent.clock import Clock
from precedent.errors import PrecedentError, Unavailable

Input_contra = TypeVar("Input_contra", contravariant=True)
Output_co = TypeVar("Output_co", covariant=True)
Output = TypeVar("Output")

NANOSECONDS = 1_000_000_000


class AdapterUnavailable(Unavailable):
    """The other side did not answer, or asked us to come back. `retry_after_seconds` is its own word, where it gave one."""

    code = "ADAPTER_UNAVAILABLE"

    def __init__(self, adapter: str, why: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"couldn't reach {adapter}: {why}")
        self.adapter = adapter
        self.retry_after_seconds = retry_after_seconds


def seconds_in(retry_after: str | None) -> float | None:
    """What Retry-After says in whole seconds; None where it says something else, or is not there."""
    return float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None


class AdapterRefused(PrecedentError):
    """The other side understood and said no: the same call again would hear the same. `reason` is its code."""

    code = "ADAPTER_REFUSED"

    def __init__(self, adapter: str, reason: str) -> None:
        super().__init__(f"{adapter} refused: {reason}")
        self.adapter = adapter
        self.reason = reason


class Health(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Context:
    """What a call is part of, and how long it may take with all its retries."""

    correlation_id: str
    timeout_seconds: float = 10.0


class Adapter(Protocol[Input_contra, Output_co]):
    """What every adapter is. `invoke` raises AdapterUnavailable or AdapterRefused; `health` raises nothing."""

    @property
    def name(self) -> str: ...

    def invoke(self, input: Input_contra, context: Context) -> Output_co: ...

    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is tried, and the pauses between: doubled each time, then shortened at random by up to a half."""

    attempts: int = 3
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 8.0

    def pause_seconds(self, failures: int, random: bytes) -> float:
        """The pause after so many failures; the random half keeps callers that failed together from returning together."""
        full = min(self.first_pause_seconds * 2.0 ** (failures - 1), self.longest_pause_seconds)
        return full * (0.5 + int.from_bytes(random[:2], "big") / 131_072)


@dataclass(slots=True)
class RateLimit:
    """Lets `burst` calls pass at once and `per_second` after that, over all threads that share it."""

    per_second: float
    burst: int
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next_ns: int | None = None

    def reserve_seconds(self) -> float:
        """Take the next place; how long its holder must wait for it. 0 while places are free.

        The generic cell rate algorithm: `_next_ns` is when the bucket would be full again, so one number is the whole state.
        """
        step_ns = int(NANOSECONDS / self.per_second)
        with self._lock:
            now_ns = self.clock.monotonic_ns()
            full_at_ns = max(self._next_ns if self._next_ns is not None else now_ns, now_ns)
            self._next_ns = full_at_ns + step_ns
            return max(full_at_ns - (self.burst - 1) * step_ns - now_ns, 0) / NANOSECONDS


@dataclass(frozen=True, slots=True)
class Calls:
    """How one adapter calls out. `pause` waits; a test passes its own."""

    adapter: str
    clock: Clock
    limit: RateLimit
    retries: Retries = Retries()
    pause: Callable[[float], None] = time.sleep

    def call(self, attempt: Callable[[float], Output], context: Context) -> Output:
        """What `attempt` returns; it is given the seconds that are left, and tried again when it raises AdapterUnavailable.

        Raises: AdapterRefused at once; AdapterUnavailable when the tries or the time are used up.
        """
        end_ns = self.clock.monotonic_ns() + int(context.timeout_seconds * NANOSECONDS)
        failures = 0
        while True:
            self._wait(self.limit.reserve_seconds(), end_ns, None)
            try:
                return attempt((end_ns - self.clock.monotonic_ns()) / NANOSECONDS)
            except AdapterUnavailable as error:
                failures += 1
                if failures >= self.retries.attempts:
                    raise
                pause_seconds = self.retries.pause_seconds(failures, self.clock.random_bytes(2))
                self._wait(max(pause_seconds, error.retry_after_seconds or 0.0), end_ns, error)

    def _wait(self, seconds: float, end_ns: int, error: AdapterUnavailable | None) -> None:
        left_seconds = (end_ns - self.clock.monotonic_ns()) / NANOSECONDS
        if seconds >= left_seconds:
            # Waiting first and failing then would cost the caller the whole time-out for the same answer.
            raise error or AdapterUnavailable(self.adapter, f"its rate limit leaves no place within {left_seconds:.1f} s", seconds)
        if seconds > 0:
            self.pause(seconds)
