"""Similar past cases in words, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from precedent.memory.told import NO_CASES, NO_MODEL, NOT_MEASURED, told_precedents


def one(number: int, verdict: str, distance_ppm: int, reward_ppm: int | None = None, *, by_person: bool = False) -> dict[str, Any]:
    return {"id": str(number), "verdict": verdict, "by_person": by_person, "distance_ppm": distance_ppm, "reward_ppm": reward_ppm}


def section(nearest: list[dict[str, Any]], counter: dict[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    return {"model": "m", "nearest": nearest, "counter": counter, "novel": False, "novelty_ppm": 100_000} | others


def test_the_nearest_with_another_verdict_stands_last_where_it_is_none_of_the_nearest() -> None:
    near, far = one(1, "approve", 1000, 1_000_000), one(2, "deny", 90_000, by_person=True)
    told = told_precedents(section([near], far), "approve")
    assert told.text == (
        "1 similar past case: 1 followed, 0 departed from; of 1 with a reward 1 succeeded. "
        "Not novel: the nearest lies at 0.001, usual cases within 0.100."
    )
    assert [(case.id, case.relation) for case in told.cases] == [("1", "followed"), ("2", "departed")]
    assert [case.id for case in told_precedents(section([near, far], far), "approve").cases] == ["1", "2"]


def test_who_leaves_it_to_a_person_departs_from_what_was_decided() -> None:
    told = told_precedents(section([one(1, "approve", 1000), one(2, "escalate", 2000, 400_000)]), "escalate")
    assert [case.text for case in told.cases] == [
        "departed from: approved, no reward known, at distance 0.001",
        "followed: left to a person, reward 0.4 of 1, at distance 0.002",
    ]


FOLLOWED = "1 similar past case: 1 followed, 0 departed from."


@pytest.mark.parametrize(("said", "words"), [
    (section([], model=None, novel=True), f"{NO_MODEL} The case counts as novel."),
    (section([], novel=True), f"{NO_CASES} The case counts as novel."),
    (section([one(1, "deny", 200_000)], novel=True), f"{FOLLOWED} Novel: the nearest lies at 0.200, usual cases within 0.100."),
    (section([one(1, "deny", 5)], novel=True, novelty_ppm=None), f"{FOLLOWED} {NOT_MEASURED}"),
])  # fmt: skip
def test_what_is_not_known_is_said(said: dict[str, Any], words: str) -> None:
    assert told_precedents(said, "deny").text == words
