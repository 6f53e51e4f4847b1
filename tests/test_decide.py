import asyncio
import os
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from deciding import DEAL, call, core_of, question, size_of
from running_api import Installation

from precedent.clock import from_instant
from precedent.decide import Decision, Question
from precedent.errors import ActionNotFound, FactsInvalid, FieldInvalid, HeadMoved, IdempotencyKeyReused, NodeNotFound, PolicyNotFound
from precedent.guard.flags import set_flag
from precedent.ledger.entry import MAX_TRIES, Answer, Draft
from precedent.ledger.idempotency import Claim
from precedent.ledger.writer import Writer
from precedent.policy.change import activate, withdraw
from precedent.policy.evaluate import Control, Moment, evaluate
from precedent.policy.registry import publish
from precedent.settings import project_root


def decide(installation: Installation, *asked: Question, claim: Claim | None = None) -> list[Decision]:
    async def run() -> list[Decision]:
        async with core_of(installation) as core:
            return [await core.decider.decide(one, call(claim)) for one in asked]

    return asyncio.run(run())


def test_a_recorded_decision_can_be_derived_again(installation: Installation) -> None:
    asked = [question(requested_discount_pct=Decimal(text)) for text in ("0.01", "0.08", "0.14", "0.18", "0.9")]

    async def run() -> None:
        async with core_of(installation) as core:
            for one in asked:
                decision = await core.decider.decide(one, call())
                derivation = decision.core["derivation"]
                policy = (await core.authority.current()).policies[derivation["policy"]]
                assert policy.document.digest_hex == derivation["policy_digest"]
                moment = Moment(from_instant(derivation["now"]), derivation["weekday"], derivation["local_minute"])
                result = evaluate(
                    policy,
                    decision.core["action"],
                    decision.facts["facts"],
                    decision.memory["features"],
                    moment,
                    Control(**derivation["control"]),
                )
                assert result.as_core() == decision.core["result"]

    asyncio.run(run())


def test_a_flag_that_changed_meanwhile_makes_the_decision_anew(installation: Installation) -> None:
    async def run() -> tuple[Decision, Decision]:
        async with core_of(installation) as core:
            before = await core.decider.decide(question(), call())
            set_flag(installation.database_url, installation.settings, "finance", "approve_discount", False, 3, "off", "tests")
            return before, await core.decider.decide(question(), call())

    before, after = asyncio.run(run())
    assert (before.core["result"]["verdict"], after.core["result"]["verdict"]) == ("approve", "deny")
    assert after.core["derivation"]["epoch"] > before.core["derivation"]["epoch"]


def test_flags_that_never_rest_end_in_a_refusal_with_nothing_recorded(installation: Installation) -> None:
    class Restless(Writer):
        """Before each append, somebody changes a flag."""

        async def append(self, draft: Draft) -> Answer:
            set_flag(installation.database_url, installation.settings, "finance", "approve_discount", True, 3, "again", "tests")
            return await super().append(draft)

    async def run() -> None:
        async with core_of(installation, writer=Restless) as core:
            await core.decider.decide(question(), call())

    before = size_of(installation.database_url)
    with pytest.raises(HeadMoved):
        asyncio.run(run())
    assert size_of(installation.database_url) == before + MAX_TRIES


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (question()._replace(node="marketing"), NodeNotFound),
        (question()._replace(action="refund"), ActionNotFound),
        (question()._replace(policy_ref="finance-constitution@2.0.0"), PolicyNotFound),
        (question()._replace(policy_ref="credit-constitution@1.0.0"), PolicyNotFound),
        (question(deal_value=-1), FactsInvalid),
        (question()._replace(as_of_us=2**52), FieldInvalid),
    ],
)
def test_what_is_refused_is_not_recorded(installation: Installation, asked: Question, error: type[Exception]) -> None:
    before = size_of(installation.database_url)
    with pytest.raises(error):
        decide(installation, asked)
    assert size_of(installation.database_url) == before


def test_a_pseudonym_stands_in_the_entities_as_a_random_id(installation: Installation) -> None:
    first, second, other = decide(installation, question(customer_id="C-1"), question(customer_id="C-1"), question(customer_id="C-2"))
    assert first.core["subject_id"] == second.core["subject_id"] == first.core["entities"]["customer"]
    assert other.core["subject_id"] != first.core["subject_id"]
    assert "C-1" not in str(first)


def test_a_note_without_a_person_gets_a_subject_of_its_own(installation: Installation) -> None:
    first, second = decide(installation, question(note="n"), question(note="n"))
    assert first.core["subject_id"] != second.core["subject_id"]
    assert first.core["entities"] == {}
    assert decide(installation, question())[0].core["subject_id"] is None


def test_two_processes_that_meet_a_person_at_once_agree_on_the_subject(installation: Installation) -> None:
    async def run() -> set[Any]:
        async with core_of(installation) as one, core_of(installation) as other:
            asked = [core.decider.decide(question(customer_id=f"C-{n}"), call()) for n in range(8) for core in (one, other)]
            decided = await asyncio.gather(*asked)
            return {(decision.core["subject_id"], n // 2) for n, decision in enumerate(decided)}

    assert len(asyncio.run(run())) == 8


def test_features_that_were_known_are_read_and_recorded(installation: Installation) -> None:
    (first,) = decide(installation, question(customer_id="C-1"))
    with psycopg.connect(installation.database_url) as connection:
        connection.execute(
            "create table analytics.entity_features (chain_id uuid, entity_type text, entity_id text, known_at timestamptz, features jsonb)"
        )
        connection.execute("grant select on analytics.entity_features to precedent_api")
        connection.execute(
            "insert into analytics.entity_features select chain_id, 'customer', subject_id::text, now() - interval '1 day', "
            """'{"discounts_30d": 4, "win_rate_90d": 2500}' from precedent.decisions where id = %s""",
            (first.place.entry_id,),
        )
    (second,) = decide(installation, question(customer_id="C-1"))
    assert first.memory == {"features": {}}
    assert second.memory == {"features": {"customer.discounts_30d": 4, "customer.win_rate_90d": 2500}}


def test_a_key_gives_the_first_decision_again_or_refuses_another_body(installation: Installation) -> None:
    claim = Claim(os.urandom(32), os.urandom(32))
    first, again = decide(installation, question(), question(deal_value=1), claim=claim)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert (again.place, again.core, again.facts, again.memory) == (first.place, first.core, first.facts, first.memory)
    before = size_of(installation.database_url)
    with pytest.raises(IdempotencyKeyReused):
        decide(installation, question(), claim=replace(claim, fingerprint=os.urandom(32)))
    assert size_of(installation.database_url) == before


def test_a_key_gives_the_first_decision_again_under_policies_that_would_refuse_it(installation: Installation) -> None:
    url, settings = installation.database_url, installation.settings
    claim, other = Claim(os.urandom(32), os.urandom(32)), Claim(os.urandom(32), os.urandom(32))
    (first,) = decide(installation, question(), claim=claim)
    text = (project_root() / "policies/finance/finance-constitution-1.1.0.yaml").read_text().replace("version: 1.1.0", "version: 1.1.1")
    publish(url, settings, text.replace("values: [A, B, C]", "values: [B, C]"), "file", "tests")
    for change, error in ((activate, FactsInvalid), (withdraw, ActionNotFound)):
        change(url, settings, "finance-constitution@1.1.1", "tests")
        (again,) = decide(installation, question(), claim=claim)
        assert (again.is_replay, again.place, again.core) == (True, first.place, first.core)
        with pytest.raises(error):
            decide(installation, question(), claim=other)
        with pytest.raises(IdempotencyKeyReused):
            decide(installation, question(), claim=replace(claim, fingerprint=os.urandom(32)))


def test_a_published_version_decides_nothing_and_a_withdrawn_one_no_more(installation: Installation) -> None:
    text = (project_root() / "policies/finance/finance-constitution-1.1.0.yaml").read_text().replace("version: 1.1.0", "version: 1.1.1")
    publish(installation.database_url, installation.settings, text, "file", "tests")
    (decision,) = decide(installation, question())
    assert decision.core["derivation"]["policy"] == "finance-constitution@1.1.0"
    withdraw(installation.database_url, installation.settings, "finance-constitution@1.1.0", "tests")
    with pytest.raises(ActionNotFound):
        decide(installation, question())


def test_latency_is_measured_on_the_monotonic_clock(installation: Installation) -> None:
    (decision,) = decide(installation, Question("finance", None, DEAL))
    assert 0 <= decision.core["call"]["latency_us"] < 60_000_000
