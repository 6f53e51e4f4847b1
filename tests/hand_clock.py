"""A clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass

from precedent.clock import SystemClock


@dataclass
class HandClock(SystemClock):
    """The real clock, and what a test adds to it."""

    ahead_us: int = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us

    def forward(self, seconds: float) -> None:
        self.ahead_us += int(seconds * 1_000_000)
