from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import pytest

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable, Calls, Context, RateLimit, Retries


@dataclass
class HandClock:
    """A clock that moves only when told; `pause` is the way it is told."""

    at_ns: int = 0
    pauses: list[float] = field(default_factory=list)

    def now_us(self) -> int:
        return self.at_ns // 1000

    def monotonic_ns(self) -> int:
        return self.at_ns

    def new_id(self) -> UUID:
        return UUID(int=0)

    def random_bytes(self, count: int) -> bytes:
        return b"\xff" * count

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at_ns += int(seconds * 1e9)


def calls_of(clock: HandClock, per_second: float = 1000.0, burst: int = 1000, attempts: int = 3) -> Calls:
    return Calls("toy", clock, RateLimit(per_second, burst, clock), Retries(attempts, 1.0, 8.0), clock.pause)


def test_a_call_that_fails_twice_is_tried_a_third_time_after_growing_pauses() -> None:
    clock = HandClock()
    left: list[float] = []

    def attempt(left_seconds: float) -> str:
        left.append(left_seconds)
        if len(left) < 3:
            raise AdapterUnavailable("toy", "not now")
        return "done"

    assert calls_of(clock).call(attempt, Context("c", 10.0)) == "done"
    assert clock.pauses == pytest.approx([1.0, 2.0], abs=1e-4)
    assert left == pytest.approx([10.0, 9.0, 7.0], abs=1e-3)


def test_a_refusal_is_never_tried_again() -> None:
    clock = HandClock()

    def attempt(left_seconds: float) -> str:
        raise AdapterRefused("toy", "no such channel")

    with pytest.raises(AdapterRefused):
        calls_of(clock).call(attempt, Context("c"))
    assert clock.pauses == []


def test_the_last_error_is_raised_when_the_tries_are_used_up() -> None:
    clock = HandClock()
    tries = 0

    def attempt(left_seconds: float) -> str:
        nonlocal tries
        tries += 1
        raise AdapterUnavailable("toy", f"try {tries}")

    with pytest.raises(AdapterUnavailable, match="try 4"):
        calls_of(clock, attempts=4).call(attempt, Context("c", 60.0))


def test_the_other_sides_word_on_when_to_return_is_kept() -> None:
    clock = HandClock()
    tries = 0

    def attempt(left_seconds: float) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise AdapterUnavailable("toy", "slower", retry_after_seconds=5.0)
        return tries

    assert calls_of(clock).call(attempt, Context("c", 10.0)) == 2
    assert clock.pauses == [5.0]


def test_a_pause_that_would_outlast_the_time_out_is_not_begun() -> None:
    clock = HandClock()

    def attempt(left_seconds: float) -> str:
        raise AdapterUnavailable("toy", "slower", retry_after_seconds=30.0)

    with pytest.raises(AdapterUnavailable, match="slower"):
        calls_of(clock).call(attempt, Context("c", 10.0))
    assert clock.pauses == []


def test_a_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    clock = HandClock()
    limit = RateLimit(per_second=2.0, burst=3, clock=clock)
    assert [limit.reserve_seconds() for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    clock.at_ns = 10_000_000_000
    assert [limit.reserve_seconds() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_call_without_a_place_in_time_is_turned_away_and_not_made() -> None:
    clock = HandClock()
    calls = calls_of(clock, per_second=0.1, burst=1)
    made: list[float] = []
    calls.call(made.append, Context("c", 5.0))
    with pytest.raises(AdapterUnavailable, match="rate limit"):
        calls.call(made.append, Context("c", 5.0))
    assert len(made) == 1


def test_a_pause_is_shortened_by_at_most_a_half_and_never_longer_than_the_longest() -> None:
    retries = Retries(attempts=9, first_pause_seconds=1.0, longest_pause_seconds=8.0)
    assert retries.pause_seconds(1, b"\x00\x00") == 0.5
    assert retries.pause_seconds(8, b"\xff\xff") == pytest.approx(8.0, abs=1e-3)
