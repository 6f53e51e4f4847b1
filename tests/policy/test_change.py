"""Change control: what gives authority needs a second person where the node asks for one, and each step is an entry."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest
import sample_entries as sample
from deciding import size_of
from policy_steps import states, while_waiting_to_append

from precedent.errors import Conflict, FieldInvalid, PolicyNotFound, ProposalNotFound, SamePerson
from precedent.ledger.entry import Appended, Draft
from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.policy.change import (
    Proposal,
    activate,
    approve,
    deactivate,
    find_proposal,
    reject,
    roll_back,
    set_second_person,
    withdraw,
)
from precedent.policy.recording import Recorded, step_draft
from precedent.policy.registry import publish, publish_folder
from precedent.settings import Settings, project_root

FINANCE = (project_root() / "policies/finance/finance-constitution-1.0.0.yaml").read_text()
FIRST, SECOND, THIRD = (f"finance-constitution@{version}" for version in ("1.0.0", "1.1.0", "1.2.0"))
MAKER, CHECKER = "maker", "checker"


@pytest.fixture
def url(database_url: str, settings: Settings) -> str:
    """Three versions, the first active."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        publish(database_url, settings, FINANCE.replace("version: 1.0.0", f"version: {version}"), "f", MAKER)
    activate(database_url, settings, FIRST, MAKER)
    return database_url


@pytest.fixture
def guarded(url: str, settings: Settings) -> str:
    """The same, where finance asks for a second person."""
    set_second_person(url, settings, "finance", True, "two sign", MAKER)
    return url


def proposal(url: str, recorded: Recorded | UUID) -> Proposal:
    entry_id = recorded.entry_id if isinstance(recorded, Appended) else recorded
    assert isinstance(entry_id, UUID)
    with psycopg.connect(url) as connection:
        found = find_proposal(connection, chain_id_of(connection, "main"), entry_id)
    assert found is not None
    return found


def require_intact(url: str) -> None:
    report = verify_database(url, processes=1)
    assert report.is_intact, str(report)
    before = states(url)
    rebuild_projections(url, "main")
    assert states(url) == before
    assert verify_database(url, processes=1).is_intact


def test_one_person_is_enough_until_the_node_asks_for_two(url: str, settings: Settings) -> None:
    activate(url, settings, SECOND, MAKER)
    assert states(url) == {FIRST: "superseded", SECOND: "active", THIRD: "published"}


def test_an_activation_is_proposed_and_takes_effect_when_somebody_else_approves(guarded: str, settings: Settings) -> None:
    asked = proposal(guarded, activate(guarded, settings, SECOND, MAKER, reason="less discount"))
    assert (asked.ref, asked.op, asked.status, asked.replaces, asked.reason) == (SECOND, "activate", "open", FIRST, "less discount")
    assert states(guarded)[FIRST] == "active"
    with pytest.raises(SamePerson):
        approve(guarded, settings, asked.id, MAKER)
    assert states(guarded)[FIRST] == "active"

    approve(guarded, settings, asked.id, CHECKER)
    assert states(guarded) == {FIRST: "superseded", SECOND: "active", THIRD: "published"}
    done = proposal(guarded, asked.id)
    assert (done.status, done.proposed_by, done.closed_by) == ("approved", MAKER, CHECKER)
    with pytest.raises(Conflict, match="approved"):
        approve(guarded, settings, asked.id, "a third")
    require_intact(guarded)


def test_the_entry_of_an_approved_activation_names_both(guarded: str, settings: Settings) -> None:
    asked = proposal(guarded, activate(guarded, settings, SECOND, MAKER))
    answer = approve(guarded, settings, asked.id, CHECKER)
    assert isinstance(answer, Appended)
    with psycopg.connect(guarded) as connection:
        rows = connection.execute(
            "select convert_from(stored[1], 'UTF8')::jsonb from ledger.section where seq = %s", (answer.seq,)
        ).fetchall()
    ((core,),) = rows
    assert (core["op"], core["proposal"], core["proposed_by"], core["principal"]) == ("activate", str(asked.id), MAKER, CHECKER)


def test_a_rejection_closes_a_proposal_and_its_maker_may_take_it_back(guarded: str, settings: Settings) -> None:
    for principal in (CHECKER, MAKER):
        asked = proposal(guarded, activate(guarded, settings, SECOND, MAKER))
        reject(guarded, settings, asked.id, "not yet", principal)
        closed = proposal(guarded, asked.id)
        assert (closed.status, closed.closed_by, closed.closing_reason) == ("rejected", principal, "not yet")
        with pytest.raises(Conflict, match="rejected"):
            approve(guarded, settings, asked.id, CHECKER)
    assert states(guarded)[FIRST] == "active"
    require_intact(guarded)


def test_the_same_change_is_proposed_once(guarded: str, settings: Settings) -> None:
    activate(guarded, settings, SECOND, MAKER)
    with pytest.raises(Conflict, match="proposed already, by maker"):
        activate(guarded, settings, SECOND, CHECKER)
    assert activate(guarded, settings, FIRST, MAKER) is None


@pytest.mark.parametrize("meanwhile", ["activate", "deactivate", "withdraw"])
def test_a_proposal_lapses_when_the_policy_changes_meanwhile(guarded: str, settings: Settings, meanwhile: str) -> None:
    asked = proposal(guarded, activate(guarded, settings, SECOND, MAKER))
    match meanwhile:
        case "activate":
            other = proposal(guarded, activate(guarded, settings, THIRD, MAKER))
            approve(guarded, settings, other.id, CHECKER)
        case "deactivate":
            deactivate(guarded, settings, FIRST, MAKER)
        case "withdraw":
            withdraw(guarded, settings, SECOND, MAKER)
    assert proposal(guarded, asked.id).status == "lapsed"
    with pytest.raises(Conflict, match="lapsed"):
        approve(guarded, settings, asked.id, CHECKER)
    require_intact(guarded)


def test_what_takes_authority_away_needs_one_person(guarded: str, settings: Settings) -> None:
    deactivate(guarded, settings, FIRST, MAKER)
    withdraw(guarded, settings, SECOND, MAKER)
    assert states(guarded) == {FIRST: "deactivated", SECOND: "withdrawn", THIRD: "published"}


def test_asking_for_one_person_again_needs_the_second(guarded: str, settings: Settings) -> None:
    asked = proposal(guarded, set_second_person(guarded, settings, "finance", False, "small team", MAKER))
    assert (asked.op, asked.node, asked.ref) == ("relax", "finance", None)
    assert proposal(guarded, activate(guarded, settings, SECOND, MAKER)).status == "open"
    with pytest.raises(SamePerson):
        approve(guarded, settings, asked.id, MAKER)
    approve(guarded, settings, asked.id, CHECKER)
    activate(guarded, settings, SECOND, MAKER)
    assert states(guarded)[SECOND] == "active"
    require_intact(guarded)


def test_a_setting_that_changes_nothing_is_no_entry(guarded: str, settings: Settings) -> None:
    before = size_of(guarded)
    assert set_second_person(guarded, settings, "finance", True, "again", CHECKER) is None
    assert set_second_person(guarded, settings, "credit", False, "never was", CHECKER) is None
    assert size_of(guarded) == before
    for node, reason in (("Finance", "x"), ("", "x"), ("finance", " "), ("finance", "x" * 501)):
        with pytest.raises(FieldInvalid):
            set_second_person(guarded, settings, node, False, reason, MAKER)


def test_asking_for_a_second_person_makes_a_waiting_relaxation_lapse(guarded: str, settings: Settings) -> None:
    asked = proposal(guarded, set_second_person(guarded, settings, "finance", False, "small team", MAKER))
    with pytest.raises(Conflict, match="proposed already"):
        set_second_person(guarded, settings, "finance", False, "small team", CHECKER)
    approve(guarded, settings, asked.id, CHECKER)
    set_second_person(guarded, settings, "finance", True, "larger again", CHECKER)
    assert proposal(guarded, activate(guarded, settings, SECOND, MAKER)).status == "open"


def test_deactivated_decides_nothing_until_it_is_activated_again(url: str, settings: Settings) -> None:
    assert isinstance(deactivate(url, settings, FIRST, MAKER, reason="a complaint"), Appended)
    assert deactivate(url, settings, FIRST, MAKER) is None
    assert states(url)[FIRST] == "deactivated"
    with pytest.raises(Conflict, match="published"):
        deactivate(url, settings, SECOND, MAKER)
    require_intact(url)
    activate(url, settings, FIRST, MAKER)
    assert states(url)[FIRST] == "active"
    activate(url, settings, SECOND, MAKER)
    assert states(url) == {FIRST: "superseded", SECOND: "active", THIRD: "published"}
    require_intact(url)


def test_a_roll_back_activates_what_was_active_before(url: str, settings: Settings) -> None:
    with pytest.raises(Conflict):
        roll_back(url, settings, "finance-constitution", MAKER)
    activate(url, settings, SECOND, MAKER)
    activate(url, settings, THIRD, MAKER)
    roll_back(url, settings, "finance-constitution", MAKER, reason="too many denied")
    assert states(url) == {FIRST: "superseded", SECOND: "active", THIRD: "superseded"}
    withdraw(url, settings, THIRD, MAKER)
    withdraw(url, settings, SECOND, MAKER)
    roll_back(url, settings, "finance-constitution", MAKER)
    assert states(url) == {FIRST: "active", SECOND: "withdrawn", THIRD: "withdrawn"}
    with pytest.raises(Conflict):
        roll_back(url, settings, "nothing", MAKER)
    require_intact(url)


def test_a_roll_back_is_proposed_where_the_node_asks_for_two(guarded: str, settings: Settings) -> None:
    approve(guarded, settings, proposal(guarded, activate(guarded, settings, SECOND, MAKER)).id, CHECKER)
    asked = proposal(guarded, roll_back(guarded, settings, "finance-constitution", CHECKER))
    assert (asked.ref, asked.replaces, states(guarded)[SECOND]) == (FIRST, SECOND, "active")
    approve(guarded, settings, asked.id, MAKER)
    assert states(guarded)[FIRST] == "active"


def test_what_does_not_exist_is_neither_deactivated_nor_answered(url: str, settings: Settings) -> None:
    with pytest.raises(PolicyNotFound):
        deactivate(url, settings, "nothing@1.0.0", MAKER)
    for answer in (lambda: approve(url, settings, uuid4(), CHECKER), lambda: reject(url, settings, uuid4(), "no", CHECKER)):
        with pytest.raises(ProposalNotFound):
            answer()


def test_a_new_shipped_version_waits_for_the_second_person(database_url: str, settings: Settings) -> None:
    set_second_person(database_url, settings, "finance", True, "two sign", MAKER)
    publish_folder(database_url, settings, project_root() / "policies", "start")
    assert states(database_url)[FIRST] == "published"
    assert states(database_url)["credit-constitution@1.0.0"] == "active"


def closing(asked: Proposal, op: str) -> Draft:
    """Somebody else's answer, as another process appends it."""
    core = {"op": op, "node": "finance", "principal": "another", "proposal": str(asked.id), "reason": "r"}
    return step_draft(core | {"name": asked.name, "version": asked.version})


@pytest.mark.parametrize("meanwhile", ["reject", "activate", "withdraw"])
def test_of_two_answers_at_once_one_finds_the_other(guarded: str, settings: Settings, meanwhile: str) -> None:
    asked = proposal(guarded, activate(guarded, settings, SECOND, MAKER))
    draft = sample.policy("withdraw", "1.1.0") if meanwhile == "withdraw" else closing(asked, meanwhile)
    outcome = while_waiting_to_append(guarded, lambda: approve(guarded, settings, asked.id, CHECKER), draft)
    assert isinstance(outcome.exception(), Conflict)
    assert states(guarded)[SECOND] == {"reject": "published", "activate": "active", "withdraw": "withdrawn"}[meanwhile]
    assert verify_database(guarded, processes=1).is_intact


def test_who_activates_alone_while_two_are_asked_for_only_proposes(url: str, settings: Settings) -> None:
    require = step_draft({"op": "require", "node": "finance", "principal": CHECKER, "reason": "two sign"})
    outcome = while_waiting_to_append(url, lambda: activate(url, settings, SECOND, MAKER), require)
    assert proposal(url, outcome.result()).status == "open"
    assert states(url)[FIRST] == "active"
