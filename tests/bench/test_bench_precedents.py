"""Precedents are found among vectors that are there, and each goal has its figure."""

from __future__ import annotations

from tests.bench.precedents import SHARES, measure_precedents


def test_every_action_is_calibrated_and_asked(database_url: str) -> None:
    part = measure_precedents(database_url, 1_000)
    assert len(part.goals) == 2 * len(SHARES) + 2
    recalls = [goal for goal in part.goals if "recall" in goal.what]
    assert [goal.found for goal in recalls] == [1.0] * len(SHARES), "so few are searched exactly"
    assert all(goal.found > 0 for goal in part.goals)
    assert [row[0].endswith("exactly") for row in part.rows] == [False, *[True] * len(SHARES)]
