import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from deciding import call, core_of, question, size_of
from running_api import Installation

from precedent.decide import Question
from precedent.errors import DecisionNotFound, FactsInvalid, FieldInvalid, PrecedentError, ScopeMissing
from precedent.record import Happening, Observation, Recorded

WON = {"won": True, "margin": Decimal("0.3")}
LATER_US = 2**52


def anybody(node: str) -> None:
    assert node == "finance"


def record(installation: Installation, *happenings: Happening) -> list[Recorded]:
    async def run() -> list[Recorded]:
        async with core_of(installation) as core:
            return [await core.recorder.record_event(one, call()) for one in happenings]

    return asyncio.run(run())


def observe(
    installation: Installation, *metrics: dict[str, Any], permit: Callable[[str], None] = anybody, discount: str = "0.08", **others: Any
) -> list[Recorded]:
    async def run() -> list[Recorded]:
        async with core_of(installation) as core:
            decision = await core.decider.decide(question(requested_discount_pct=Decimal(discount)), call())
            return [
                await core.recorder.record_outcome(Observation(decision.place.entry_id, one, **others), call(), permit) for one in metrics
            ]

    return asyncio.run(run())


def test_an_events_payload_is_kept_as_it_came(installation: Installation) -> None:
    (event,) = record(installation, Happening("T", '{"b": 1.50, "a": 1}', actor="somebody", ts_us=1))
    assert event.facts == {"payload_text": '{"b": 1.50, "a": 1}'}
    assert (event.core["ts"], event.core["actor"], event.core["as_of"]) == ("1970-01-01T00:00:00.000001Z", "somebody", None)


def test_a_personal_payload_is_in_no_plain_section(installation: Installation) -> None:
    first, second = record(installation, Happening("T", '"secret"', subject="C-1"), Happening("T", '"secret"', subject="C-1"))
    assert first.core["subject_id"] == second.core["subject_id"]
    assert first.facts == second.facts == {}
    assert first.core["received_hash"] == second.core["received_hash"]
    with psycopg.connect(installation.database_url) as connection:
        rows = connection.execute("select payload from precedent.events").fetchall()
        stored = connection.execute("select stored[1] from ledger.section where is_personal").fetchall()
    assert rows == [(None,), (None,)]
    assert len(stored) == 2
    assert all(b"secret" not in one for (one,) in stored)


def test_the_hash_of_what_a_person_said_is_keyed(installation: Installation) -> None:
    plain, personal = record(installation, Happening("T", "1"), Happening("T", "1", subject="C-1"))
    assert plain.core["received_hash"] != personal.core["received_hash"]


@pytest.mark.parametrize(
    ("discount", "metrics", "reward_ppm", "counted"),
    [
        ("0.08", WON, 1_000_000, True),
        ("0.08", WON | {"won": False}, 0, True),
        ("0.08", WON | {"margin": Decimal("0.2299")}, 0, True),
        ("0.18", WON, None, False),
        ("0.9", WON, None, False),
    ],
)
def test_the_reward_follows_from_policy_and_band(
    installation: Installation, discount: str, metrics: dict[str, Any], reward_ppm: int | None, counted: bool
) -> None:
    (outcome,) = observe(installation, metrics, discount=discount)
    assert (outcome.core["reward_ppm"], outcome.core["counted"]) == (reward_ppm, counted)
    assert outcome.core["experiment"] == "finance/approve_discount"


@pytest.mark.parametrize(
    ("amount", "verdict", "reward_ppm", "counted"),
    [(4000, "approve", 1_000_000, True), (60000, "escalate", None, False), (90000, "deny", None, False)],
)
def test_where_no_band_decided_there_is_no_reward(
    installation: Installation, amount: int, verdict: str, reward_ppm: int | None, counted: bool
) -> None:
    """The reward of this policy reads no number of a band: it could be computed, and would mean nothing."""
    facts = {"amount_requested": amount}

    async def run() -> tuple[str, Recorded]:
        async with core_of(installation) as core:
            decision = await core.decider.decide(Question("credit", None, facts), call())
            observation = Observation(decision.place.entry_id, {"outcome": "approved"})
            outcome = await core.recorder.record_outcome(observation, call(), lambda node: None)
            return decision.core["result"]["verdict"], outcome

    found, outcome = asyncio.run(run())
    assert found == verdict
    assert (outcome.core["reward_ppm"], outcome.core["counted"]) == (reward_ppm, counted)


def refused_by(error: type[PrecedentError]) -> Callable[[str], None]:
    def permit(node: str) -> None:
        raise error(node)

    return permit


@pytest.mark.parametrize(
    ("metrics", "others", "permit", "error", "pointer"),
    [
        (WON | {"profit": 1}, {}, anybody, FactsInvalid, "/outcomes/0/metrics/profit"),
        ({}, {}, anybody, FactsInvalid, "/outcomes/0/metrics/won"),
        (WON, {"observed_at_us": LATER_US}, anybody, FieldInvalid, "/outcomes/0/observed_at"),
        (WON, {"as_of_us": LATER_US}, anybody, FieldInvalid, "/outcomes/0/as_of"),
        (WON, {}, refused_by(ScopeMissing), ScopeMissing, None),
    ],
)
def test_what_is_refused_is_not_recorded(
    installation: Installation, metrics: Any, others: Any, permit: Any, error: type[PrecedentError], pointer: str | None
) -> None:
    before = size_of(installation.database_url)
    with pytest.raises(error) as caught:
        observe(installation, metrics, permit=permit, pointer="/outcomes/0", **others)
    assert size_of(installation.database_url) == before + 1  # the decision
    assert pointer is None or pointer in [fault.pointer for fault in getattr(caught.value, "faults", ())]


def test_an_outcome_needs_a_decision(installation: Installation) -> None:
    (event,) = record(installation, Happening("T", "1"))

    async def run() -> None:
        async with core_of(installation) as core:
            for decision_id in (uuid4(), event.place.entry_id):
                with pytest.raises(DecisionNotFound):
                    await core.recorder.record_outcome(Observation(decision_id, WON), call(), anybody)

    asyncio.run(run())


def test_revisions_count_from_one(installation: Installation) -> None:
    async def run() -> list[int]:
        async with core_of(installation) as core:
            decision = await core.decider.decide(question(), call())
            observed = [await core.recorder.record_outcome(Observation(decision.place.entry_id, WON), call(), anybody) for _ in range(3)]
            return [await core.recorder.revision_of(one) for one in observed]

    assert asyncio.run(run()) == [1, 2, 3]


def test_an_event_to_come_is_refused_at_its_place(installation: Installation) -> None:
    with pytest.raises(FieldInvalid) as caught:
        record(installation, Happening("T", "1", as_of_us=LATER_US, pointer="/3"))
    assert [fault.pointer for fault in caught.value.faults] == ["/3/as_of"]
