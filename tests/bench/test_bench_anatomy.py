"""The steps that are timed are those of a decision that really is made."""

from __future__ import annotations

from tests.bench.anatomy import measure_anatomy
from tests.bench.endpoint import CUSTOMERS, named_body


def test_each_step_of_a_decision_has_its_time_and_what_is_left_is_told() -> None:
    part = measure_anatomy(named_body(CUSTOMERS - 1), 10_000.0)
    took = [float(found.removesuffix(" µs")) for _, found in part.rows]
    assert len(took) == 8
    assert all(us > 0 for us in took)
    assert abs(sum(took) - 10_000.0) < 1
