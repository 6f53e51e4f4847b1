"""Outcomes: revisions, rewards, and the counters of the variants under repeats and corrections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from in_process import Api

from api.models import OutcomeAnswer

WON, LOST = {"won": True, "margin": 0.3}, {"won": False, "margin": 0.3}


def record(api: Api, decision_id: str, metrics: dict[str, Any], **others: Any) -> dict[str, Any]:
    answer = api.client.post(f"/outcomes/{decision_id}", json={"metrics": metrics, **others})
    assert answer.status_code == 201, answer.text
    OutcomeAnswer.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def counters(api: Api) -> tuple[float, float]:
    """Alpha and beta of the finance policy, 1 and 1 before anything counted."""
    rows = api.fetch(
        "select alpha, beta from precedent.policy_variants_stats where experiment = 'finance/approve_discount' and variant = %s",
        "finance-constitution@1.1.0",
    )
    return (float(rows[0][0]), float(rows[0][1])) if rows else (1.0, 1.0)


@pytest.mark.parametrize(("discount", "margin", "won", "reward"), [
    (0.05, 0.25, True, 1.0), (0.05, 0.2499, True, 0.0), (0.05, 0.25, False, 0.0),
    (0.08, 0.23, True, 1.0), (0.08, 0.2299, True, 0.0),
    (0.15, 0.22, True, 1.0), (0.15, 0.2199, True, 0.0),
])  # fmt: skip
def test_the_reward_uses_the_numbers_of_the_band_that_decided(api: Api, discount: float, margin: float, won: bool, reward: float) -> None:
    decision = api.decide(facts={"requested_discount_pct": discount})
    assert record(api, decision["id"], {"won": won, "margin": margin})["reward"] == reward


def test_a_correction_supersedes_and_nothing_is_lost(api: Api) -> None:
    decision = api.decide()
    alpha, beta = counters(api)
    assert record(api, decision["id"], WON)["revision"] == 1
    assert counters(api) == (alpha + 1, beta)
    assert record(api, decision["id"], WON)["revision"] == 2
    assert counters(api) == (alpha + 1, beta)
    assert record(api, decision["id"], LOST)["revision"] == 3
    assert counters(api) == (alpha, beta + 1)
    assert record(api, decision["id"], WON)["revision"] == 4
    assert counters(api) == (alpha + 1, beta)
    told = api.client.get(f"/outcomes/{decision['id']}").json()
    assert (told["current"]["revision"], [one["revision"] for one in told["earlier"]]) == (4, [3, 2, 1])
    assert [one["reward"] for one in [told["current"], *told["earlier"]]] == [1.0, 0.0, 1.0, 1.0]


def test_a_decision_without_an_outcome_has_none(api: Api) -> None:
    decision = api.decide()
    assert api.client.get(f"/outcomes/{decision['id']}").json() == {"decision_id": decision["id"], "current": None, "earlier": []}


def test_corrections_at_once_are_counted_once(api: Api) -> None:
    decisions = [api.decide()["id"] for _ in range(4)]
    alpha, beta = counters(api)
    with ThreadPoolExecutor(16) as pool:
        revisions = list(pool.map(lambda n: record(api, decisions[n % 4], (WON, LOST)[n // 4 % 2])["revision"], range(48)))
    assert sorted(revisions) == sorted([*range(1, 13)] * 4)
    current = [api.client.get(f"/outcomes/{one}").json()["current"]["reward"] for one in decisions]
    assert counters(api) == (alpha + sum(current), beta + len(current) - sum(current))


@pytest.mark.parametrize(("discount", "why"), [(0.9, "deny"), (0.18, "escalate")])
def test_what_no_band_decided_is_recorded_and_not_counted(api: Api, discount: float, why: str) -> None:
    decision = api.decide(facts={"requested_discount_pct": discount})
    assert decision["verdict"] == why
    before = counters(api)
    outcome = record(api, decision["id"], WON)
    assert (outcome["reward"], outcome["counted"]) == (None, False)
    assert counters(api) == before


def test_an_imported_decision_is_not_counted(api: Api) -> None:
    decision = api.decide(as_of="2026-01-02T03:04:05Z")
    before = counters(api)
    outcome = record(api, decision["id"], WON)
    assert (outcome["reward"], outcome["counted"]) == (1.0, False)
    assert counters(api) == before


def test_an_event_is_no_decision(api: Api) -> None:
    event = api.client.post("/events", json={"type": "T"}).json()
    answer = api.client.post(f"/outcomes/{event['id']}", json={"metrics": WON})
    assert (answer.status_code, answer.json()["code"]) == (404, "DECISION_NOT_FOUND")


def test_a_batch_of_outcomes_is_answered_in_order(api: Api) -> None:
    first, second = api.decide()["id"], api.decide()["id"]
    outcomes = [
        {"decision_id": first, "metrics": WON, "correlation_id": "one"},
        {"decision_id": str(uuid4()), "metrics": WON},
        {"decision_id": second, "metrics": {"won": True}},
        {"metrics": WON},
        {"decision_id": second, "metrics": LOST},
    ]
    answers = api.client.post("/outcomes", json={"outcomes": outcomes}).json()["answers"]
    assert [one.get("code", one.get("reward")) for one in answers] == [1.0, "DECISION_NOT_FOUND", "FACTS_INVALID", "FIELD_INVALID", 0.0]
    assert answers[0]["correlation_id"] == "one"
    assert answers[2]["errors"][0]["pointer"] == "/outcomes/2/metrics/margin"
    assert answers[3]["errors"][0]["pointer"] == "/outcomes/3/decision_id"


def test_the_observation_has_its_own_time(api: Api) -> None:
    outcome = record(api, api.decide()["id"], WON, observed_at="2026-11-01T00:00:00+01:00", correlation_id="closing")
    assert (outcome["observed_at"], outcome["correlation_id"]) == ("2026-10-31T23:00:00.000000Z", "closing")
