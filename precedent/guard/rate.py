"""How much a token may ask for: a bucket each, in this process's memory, that fills at a steady rate.

It is kept as one number, the instant at which the bucket is full again (the generic cell rate algorithm, ITU-T I.371): nothing runs
between requests, and each costs a look-up and a few sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from precedent.errors import RateExceeded

MAX_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request: so many more at once, and as many as ever again after `reset_seconds`.

    `quota` requests are allowed in `window_seconds`; one that was not is to wait `wait_seconds`.
    """

    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    wait_seconds: float = 0.0

    def require(self) -> None:
        """Raises: RateExceeded."""
        if self.wait_seconds:
            raise RateExceeded(f"this token may make {self.quota} requests in {self.window_seconds} s", self.wait_seconds)


class Rates:
    """The buckets of all tokens, by name."""

    def __init__(self, per_second: float, burst_seconds: float, monotonic_ns: Callable[[], int]) -> None:
        self._per_second = per_second
        self._burst_seconds = burst_seconds
        self._monotonic_ns = monotonic_ns
        self._full_at_ns: dict[str, float] = {}

    def take(self, name: str, per_second: float | None = None) -> Allowance:
        """Count one request of the token of that name, at its own rate if it has one; one too many is not counted."""
        rate = per_second or self._per_second
        quota = max(1, int(rate * self._burst_seconds))
        interval_ns = 1e9 / rate
        now_ns = self._monotonic_ns()
        owed_ns = max(self._full_at_ns.get(name, 0.0) - now_ns, 0.0) + interval_ns
        room_ns = quota * interval_ns - owed_ns
        if room_ns < 0:
            return Allowance(quota, ceil(quota / rate), 0, ceil((owed_ns - interval_ns) / 1e9), -room_ns / 1e9)
        self._full_at_ns[name] = now_ns + owed_ns
        if len(self._full_at_ns) > MAX_BUCKETS:
            self._full_at_ns = {one: at_ns for one, at_ns in self._full_at_ns.items() if at_ns > now_ns}
        return Allowance(quota, ceil(quota / rate), int(room_ns / interval_ns), ceil(owed_ns / 1e9))
