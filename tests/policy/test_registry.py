from pathlib import Path

import pytest
import sample_entries as sample
from deciding import size_of
from policy_steps import states, while_waiting_to_append

from precedent.errors import Conflict, PolicyInvalid, PolicyNotFound, PolicyVersionExists
from precedent.ledger.verify import verify_database
from precedent.policy.change import activate, withdraw
from precedent.policy.registry import check_folder, publish, publish_folder, validate
from precedent.settings import Settings, project_root
from tests.policy.test_document import BAD

FINANCE = (project_root() / "policies/finance/finance-constitution-1.0.0.yaml").read_text()
REF = "finance-constitution@1.0.0"


def test_the_same_bytes_are_published_once(database_url: str, settings: Settings) -> None:
    first = publish(database_url, settings, FINANCE, "f", "somebody")
    again = publish(database_url, settings, FINANCE, "f", "somebody else")
    assert (first.is_new, again.is_new, first.ref, first.digest) == (True, False, REF, again.digest)
    assert (first.node, first.actions) == ("finance", ("approve_discount",))
    assert size_of(database_url) == 1
    assert states(database_url) == {REF: "published"}


def test_a_published_version_never_changes(database_url: str, settings: Settings) -> None:
    publish(database_url, settings, FINANCE, "f", "somebody")
    with pytest.raises(PolicyVersionExists):
        publish(database_url, settings, FINANCE.replace("max_discount: 0.05", "max_discount: 0.06"), "f", "somebody")
    assert size_of(database_url) == 1


def test_a_document_with_problems_is_not_stored(database_url: str, settings: Settings) -> None:
    for text in (
        "",
        "[]",
        FINANCE.replace("facts.base_margin_pct >=", "facts.base_margin >="),
        FINANCE.replace("reason: BELOW_COST", "reason: OTHER"),
    ):
        with pytest.raises(PolicyInvalid) as caught:
            publish(database_url, settings, text, "f", "somebody")
        assert caught.value.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in caught.value.problems)
    assert size_of(database_url) == 0
    assert validate(FINANCE, "f").ref == REF


def test_nothing_of_any_bad_document_is_stored(database_url: str, settings: Settings) -> None:
    for text, code, *_ in BAD.values():
        with pytest.raises(PolicyInvalid) as caught:
            publish(database_url, settings, text, "f", "somebody")
        assert code in {problem.code for problem in caught.value.problems}
    assert size_of(database_url) == 0


def test_activation_supersedes_and_withdrawal_is_for_good(database_url: str, settings: Settings) -> None:
    second = "finance-constitution@1.1.0"
    publish(database_url, settings, FINANCE, "f", "somebody")
    publish(database_url, settings, FINANCE.replace("version: 1.0.0", "version: 1.1.0"), "f", "somebody")
    activate(database_url, settings, REF, "somebody")
    activate(database_url, settings, second, "somebody")
    assert states(database_url) == {REF: "superseded", second: "active"}
    withdraw(database_url, settings, second, "somebody")
    assert states(database_url) == {REF: "superseded", second: "withdrawn"}
    with pytest.raises(Conflict):
        activate(database_url, settings, second, "somebody")
    activate(database_url, settings, REF, "somebody")
    assert states(database_url) == {REF: "active", second: "withdrawn"}


def test_a_step_that_changes_nothing_is_no_entry(database_url: str, settings: Settings) -> None:
    publish(database_url, settings, FINANCE, "f", "somebody")
    for step in (activate, activate, withdraw, withdraw):
        step(database_url, settings, REF, "somebody")
    assert size_of(database_url) == 3


@pytest.mark.parametrize("ref", ["finance-constitution@9.9.9", "finance-constitution", "nothing@1.0.0", "@", ""])
def test_what_is_not_published_is_neither_activated_nor_withdrawn(database_url: str, settings: Settings, ref: str) -> None:
    for step in (activate, withdraw):
        with pytest.raises(PolicyNotFound):
            step(database_url, settings, ref, "somebody")
    assert size_of(database_url) == 0


def test_two_policies_never_decide_one_action(database_url: str, settings: Settings) -> None:
    other = FINANCE.replace("policy: finance-constitution", "policy: finance-other")
    for text in (FINANCE, other):
        publish(database_url, settings, text, "f", "somebody")
    activate(database_url, settings, REF, "somebody")
    with pytest.raises(Conflict, match="approve_discount"):
        activate(database_url, settings, "finance-other@1.0.0", "somebody")
    assert states(database_url)["finance-other@1.0.0"] == "published"


def test_a_folder_is_published_once_and_an_operators_choice_stays(database_url: str, settings: Settings) -> None:
    folder = project_root() / "policies"
    published = publish_folder(database_url, settings, folder, "somebody")
    assert {one.ref.partition("@")[0] for one in published if one.node == "finance"} == {
        "finance-constitution",
        "invoice-constitution",
        "refund-constitution",
    }
    assert {ref for ref, status in states(database_url).items() if status != "active"} == {REF}  # the newest of a name is active
    withdraw(database_url, settings, REF, "somebody")
    before = size_of(database_url)
    assert not any(one.is_new for one in publish_folder(database_url, settings, folder, "somebody"))
    assert states(database_url)[REF] == "withdrawn"
    assert size_of(database_url) == before


def test_a_folder_can_be_published_without_activating(database_url: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "finance").mkdir()
    (tmp_path / "finance" / "one.yaml").write_text(FINANCE)
    (tmp_path / "finance" / "one_test.yaml").write_text("not a policy")
    (tmp_path / "_schemas").mkdir()
    (tmp_path / "_schemas" / "none.yaml").write_text("not a policy")
    (one,) = publish_folder(database_url, settings, tmp_path, "somebody", and_activate=False)
    assert states(database_url) == {one.ref: "published"}


def test_what_is_withdrawn_meanwhile_is_not_activated(database_url: str, settings: Settings) -> None:
    publish(database_url, settings, FINANCE, "f", "somebody")
    outcome = while_waiting_to_append(
        database_url, lambda: activate(database_url, settings, REF, "somebody"), sample.policy("withdraw", "1.0.0")
    )
    assert isinstance(outcome.exception(), Conflict)
    assert states(database_url) == {REF: "withdrawn"}
    assert verify_database(database_url, processes=1).is_intact


def test_of_two_policies_for_one_action_activated_at_once_one_is(database_url: str, settings: Settings) -> None:
    for text in (FINANCE, FINANCE.replace("policy: finance-constitution", "policy: finance-other")):
        publish(database_url, settings, text, "f", "somebody")
    outcome = while_waiting_to_append(
        database_url, lambda: activate(database_url, settings, REF, "somebody"), sample.policy("activate", "1.0.0", "finance-other")
    )
    assert isinstance(outcome.exception(), Conflict)
    assert states(database_url) == {REF: "published", "finance-other@1.0.0": "active"}


def test_what_changes_something_else_meanwhile_only_costs_another_look(database_url: str, settings: Settings) -> None:
    publish(database_url, settings, FINANCE, "f", "somebody")
    outcome = while_waiting_to_append(
        database_url, lambda: activate(database_url, settings, REF, "somebody"), sample.flag("credit", "extend_credit")
    )
    assert outcome.exception() is None
    assert states(database_url) == {REF: "active"}


def test_a_version_published_twice_at_once_is_held_to_the_first_content(database_url: str, settings: Settings) -> None:
    outcome = while_waiting_to_append(
        database_url, lambda: publish(database_url, settings, FINANCE, "f", "somebody"), sample.policy("publish", "1.0.0")
    )
    assert isinstance(outcome.exception(), PolicyVersionExists)
    assert size_of(database_url) == 1


def test_a_file_that_says_something_else_than_was_published_is_found(database_url: str, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    (folder / "finance").mkdir(parents=True)
    file = folder / "finance" / "one.yaml"
    file.write_text(FINANCE)
    (before,) = check_folder(database_url, settings, folder)
    assert (before.ref, before.published_digest, before.status, before.is_mismatch) == (REF, None, None, False)
    publish_folder(database_url, settings, folder, "somebody")
    (same,) = check_folder(database_url, settings, folder)
    assert (same.published_digest, same.status, same.is_mismatch) == (same.digest, "active", False)
    file.write_text("# a comment changes nothing\n" + FINANCE)
    assert not check_folder(database_url, settings, folder)[0].is_mismatch
    file.write_text(FINANCE.replace("max_discount: 0.05", "max_discount: 0.06"))
    assert check_folder(database_url, settings, folder)[0].is_mismatch
    with pytest.raises(PolicyVersionExists):
        publish_folder(database_url, settings, folder, "somebody")
    assert size_of(database_url) == 2
