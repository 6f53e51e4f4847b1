"""Words of a snapshot: what they say, how long they may be, and that a number which the structure lacks is found in any dress."""

from __future__ import annotations

from typing import Any

import pytest

from precedent.memory.words import MAX_CHARACTERS, foreign_numbers, words_of

ID = "3f2b8c1e-9a4d-4e7b-8c1e-5d6f7a8b9c0d"
FACTS: dict[str, Any] = {
    "node": "finance",
    "day": "2026-03-05",
    "totals": {"decisions_count": 1200, "approved_count": 750, "denied_count": 50, "escalated_count": 400, "effective_count": 750},
    "actions": [{"action": "approve_discount", "decisions_count": 1200}],
    "rules": [{"action": "approve_discount", "rule": "double_check", "decisions_count": 700}],
    "answered": {
        **{"answered_count": 21, "approved_count": 16, "denied_count": 5, "advised_count": 19, "against_advice_count": 3},
        **{"reversed_count": 6, "audited_count": 31, "audit_confirmed_count": 24, "audit_reversed_count": 7, "overridden_count": 36},
    },
    "outcomes": {"matured_count": 4, "rewarded_count": 4, "reward_mean_bp": 6250},
    "change": {
        **{"against": "2026-02-26", "decisions_count_before": 1100, "decisions_delta": 100, "approved_bp": 6250},
        **{"approved_before_bp": 5005},
    },
    "successes": [{"decision_id": ID, "action": "approve_discount", "verdict": "approve", "reward_bp": 10000}],
    "failures": [{"decision_id": ID, "action": "approve_discount", "verdict": "approve", "reward_bp": 0}],
    "sources": {"decided": "777"},
}


def test_the_words_say_what_the_structure_holds() -> None:
    assert words_of(FACTS).startswith(
        "finance on 2026-03-05: 1200 decisions, 750 approved, 50 denied, 400 escalated. 4 outcomes became known, mean reward 62.5 %. "
        "People answered 21: 16 approved, 5 denied; of 19 with a recommendation 3 went against it. Reversed within the window: 6. "
        "Audits answered 31: 24 confirmed, 7 reversed. Overridden in all: 36. "
        "Against 2026-02-26: 1100 decisions then; approved 62.5 % after 50.05 %."
    )
    assert foreign_numbers(words_of(FACTS), FACTS) == []


def test_what_nobody_did_has_no_words() -> None:
    nobody = dict.fromkeys(FACTS["answered"], 0)
    text = words_of(FACTS | {"answered": nobody})
    assert not [word for word in ("answered", "Reversed", "Audits", "Overridden", "recommendation") if word in text]
    assert "went against" not in words_of(FACTS | {"answered": nobody | {"answered_count": 2, "approved_count": 1, "denied_count": 1}})


@pytest.mark.parametrize(
    "words",
    [
        "1,200 decisions and 1'200 again",
        "62.50 % approved, 62.5% and 62.5 percent",
        "on 2026-03-05, decision " + ID,
        "the rule double_check had 700",
        "",
    ],
)
def test_what_the_structure_holds_may_be_said(words: str) -> None:
    assert foreign_numbers(words, FACTS) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("1201 decisions", ["1201"]),
        ("1,201 decisions", ["1,201"]),
        ("62.4 % approved", ["62.4"]),
        ("62.5 were approved", ["62.5"]),
        ("750 % approved", ["750"]),
        ("777 decisions", ["777"]),
        ("twelve decisions, half of them approved", ["twelve", "half"]),
        ("it doubled, double what it was", ["doubled", "double"]),
        ("\u0661\u0662 decisions", ["\u0661\u0662"]),
        ("\uff11\uff13 decisions", ["13"]),
        ("\u00bd of them", ["\u00bd"]),
        ("decision 3f2b8c1e-9a4d-4e7b-8c1e-5d6f7a8b9c0e", ["3f2b8c1e-9a4d-4e7b-8c1e-5d6f7a8b9c0e"]),
    ],
)
def test_what_it_lacks_is_found(words: str, found: list[str]) -> None:
    assert set(found) <= set(foreign_numbers(words, FACTS))


def test_the_words_are_bounded_by_whole_sentences() -> None:
    many = [{"decision_id": ID, "action": "a" * 64, "verdict": "approve", "reward_bp": n} for n in range(100)]
    text = words_of(FACTS | {"successes": many})
    assert MAX_CHARACTERS - 250 < len(text) <= MAX_CHARACTERS
    assert text.endswith(").")
