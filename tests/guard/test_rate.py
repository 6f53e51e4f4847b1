"""The buckets: what may be asked for at once, how they fill, and that no sequence gets more than the rate allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.errors import RateExceeded
from precedent.guard.rate import MAX_BUCKETS, Allowance, Rates


class HandClock:
    def __init__(self) -> None:
        self.ns = 0

    def monotonic_ns(self) -> int:
        return self.ns


def rates_of(per_second: float, burst_seconds: float) -> tuple[Rates, HandClock]:
    clock = HandClock()
    return Rates(per_second, burst_seconds, clock.monotonic_ns), clock


def test_a_full_bucket_gives_its_quota_at_once_and_then_one_by_one() -> None:
    rates, clock = rates_of(per_second=2, burst_seconds=2)
    assert [rates.take("a") for _ in range(5)] == [
        Allowance(4, 2, 3, 1), Allowance(4, 2, 2, 1), Allowance(4, 2, 1, 2), Allowance(4, 2, 0, 2), Allowance(4, 2, 0, 2, 0.5)
    ]  # fmt: skip
    with pytest.raises(RateExceeded) as refused:
        rates.take("a").require()
    assert refused.value.after_seconds == 0.5
    rates.take("b").require()
    clock.ns += 500_000_000
    rates.take("a").require()
    assert rates.take("a").wait_seconds == 0.5
    clock.ns += 3_600_000_000_000
    assert rates.take("a").remaining == 3


def test_a_token_may_have_a_rate_of_its_own() -> None:
    rates, _ = rates_of(per_second=1000, burst_seconds=2)
    rates.take("slow", 0.1).require()
    assert rates.take("slow", 0.1).wait_seconds == 10
    assert rates.take("fast", 5000).quota == 10_000


@given(
    per_second=st.sampled_from([0.5, 1, 3, 10]),
    pauses_ms=st.lists(st.integers(0, 3000), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_the_quota_and_what_came_in_it(per_second: float, pauses_ms: list[int]) -> None:
    rates, clock = rates_of(per_second, burst_seconds=2)
    quota = max(1, int(per_second * 2))
    allowed: list[int] = []
    for pause_ms in pauses_ms:
        clock.ns += pause_ms * 1_000_000
        if not rates.take("a").wait_seconds:
            allowed.append(clock.ns)
    for first, start in enumerate(allowed):
        for count, end in enumerate(allowed[first:], 1):
            assert count <= quota + (end - start) / 1e9 * per_second + 1e-6


def test_buckets_that_are_full_again_are_forgotten() -> None:
    rates, clock = rates_of(per_second=1, burst_seconds=2)
    for number in range(MAX_BUCKETS):
        rates.take(f"quiet {number}")
    clock.ns += 1_000_000_000
    rates.take("busy")
    assert len(rates._full_at_ns) == 1
