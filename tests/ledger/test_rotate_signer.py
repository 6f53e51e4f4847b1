"""Rotation of the signing key: crash anywhere, run again, and whoever trusted the old key can check everything."""

from __future__ import annotations

import psycopg
import pytest
import sample_entries as sample
from kept_ledger import Ledger
from pydantic import SecretStr

from precedent.db.engine import API, PIPELINE, connect
from precedent.errors import FieldInvalid, SettingsInvalid
from precedent.ledger import rotate_signer as rotation
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.control_store import read_control
from precedent.ledger.entry import Kind, Section, draft_entry
from precedent.ledger.key_history import read_key_history
from precedent.ledger.note import Note, SigningKey
from precedent.ledger.rotate_signer import rotate_signer
from precedent.ledger.verify import verify_database
from precedent.ledger.witnesses import read_witnesses
from precedent.ledger.writer import append
from precedent.settings import Settings, load_settings


@pytest.fixture
def ledger(database_url: str, settings: Settings) -> Ledger:
    return Ledger(database_url, settings)


def rotate_once(ledger: Ledger) -> rotation.Rotated:
    return rotate_signer(ledger.url, ledger.settings, "operator", "a year has passed")


def test_a_rotation_is_followed_from_each_key(ledger: Ledger) -> None:
    keys = []
    for _ in range(3):
        ledger.append(2)
        keys.append(ledger.key())
        done = rotate_once(ledger)
        assert done.is_promoted
        assert (done.handover.previous, done.handover.verifier) == (keys[-1], ledger.key())
        ledger.append(2)
    for key in (*keys, ledger.key()):
        ledger.require_followed(key)
    history = read_key_history(ledger.url, ledger.settings)
    assert [key["verifier_key"] for key in history["keys"]] == [str(key) for key in (*keys, ledger.key())]
    assert history["recoveries"] == []
    assert [path.name for path in ledger.settings.keys_path.glob("signer*")] == ["signer.key"]


def test_an_anchor_that_lagged_behind_a_rotation_is_still_read(ledger: Ledger) -> None:
    ledger.append(3)
    anchor = FolderAnchor(ledger.settings.anchor_path)
    older = anchor.read(ledger.origin)
    assert older is not None
    rotate_once(ledger)
    ledger.append(3)
    anchor.write(ledger.origin, older)
    ledger.integrator().require_continued()


def test_a_key_that_was_rotated_out_signs_nothing_more(ledger: Ledger) -> None:
    ledger.append(2)
    old = SigningKey(ledger.origin, bytes.fromhex((ledger.settings.keys_path / "signer.key").read_text().strip()))
    assert old.verifier == ledger.key()
    rotate_once(ledger)
    ledger.append(2)
    ledger.require_intact()
    size, note = ledger.notes()[-1]
    with psycopg.connect(ledger.url) as connection:
        connection.execute("alter table ledger.checkpoint disable trigger user")
        again = old.sign(Note.parse(note).text)
        connection.execute("update ledger.checkpoint set note = %s where size = %s", (again, size))
    report = verify_database(ledger.url, processes=1, witnesses=read_witnesses(ledger.url, ledger.settings))
    assert {finding.verdict for finding in report.findings} == {"wrong_signer"}, str(report)


class Crash(Exception):
    pass


STEPS = ["create_following_key", "_record", "_await_cover", "promote_following_key"]


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_that_was_interrupted_goes_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool) -> None:
    ledger.append(2)
    first = ledger.key()
    real = getattr(rotation, step)

    def crash(*arguments: object) -> None:
        if is_done:
            real(*arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(rotation, step, crash)
        with pytest.raises(Crash):
            rotate_once(ledger)
    ledger.append(2)  # an API that runs meanwhile
    ledger.require_followed(first)
    is_over = (step, is_done) == ("promote_following_key", True)
    if not is_over:
        rotate_once(ledger)
    ledger.append(1)
    ledger.require_followed(first)
    with connect(ledger.url) as connection:
        assert len(read_control(connection, ledger.chain_id)) == 1
    assert ledger.key() != first


def test_keys_from_the_environment_are_rotated_by_naming_both(ledger: Ledger) -> None:
    old, new = "11" * 32, "22" * 32

    def under(keys: str) -> Ledger:
        fields = ledger.settings.model_dump(exclude_unset=True) | {"signer_key": SecretStr(keys)}
        return Ledger(ledger.url, load_settings(**fields))

    under(old).append(2)
    first = under(old).key()
    with pytest.raises(SettingsInvalid, match="old,new"):
        rotate_once(under(old))
    done = rotate_once(under(f"{old},{new}"))
    assert not done.is_promoted
    under(f"{old},{new}").append(2)
    under(new).append(2)
    assert under(new).key() == done.handover.verifier
    under(new).require_followed(first)


def test_a_rotation_says_why_and_no_role_of_a_process_records_one(ledger: Ledger) -> None:
    ledger.append(1)
    with pytest.raises(FieldInvalid):
        rotate_signer(ledger.url, ledger.settings, "operator", " ")
    for role in (API, PIPELINE):
        for kind in (Kind.KEY, Kind.RECOVERY):
            with connect(ledger.url, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                append(connection, ledger.chain_id, [draft_entry(sample.CLOCK, kind, {Section.CORE: {"op": "rotate_signer"}})])
