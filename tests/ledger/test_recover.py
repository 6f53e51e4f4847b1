"""Going on after a rollback and without a lost key: only by an operator, only where it is needed, and told for ever."""

from __future__ import annotations

import psycopg
import pytest
import sample_entries as sample
from kept_ledger import ROLL_BACK, Ledger

from precedent.errors import FieldInvalid, LedgerBroken, NothingToRecover, SettingsInvalid
from precedent.ledger import recover as module
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.control_store import read_control
from precedent.ledger.entry import Kind
from precedent.ledger.key_history import read_key_history
from precedent.ledger.note import open_checkpoint
from precedent.ledger.recover import Recovered, recover
from precedent.ledger.rotate_signer import rotate_signer
from precedent.settings import Settings, load_settings


@pytest.fixture
def ledger(database_url: str, settings: Settings) -> Ledger:
    """600 entries, of which the database lost the second half."""
    ledger = Ledger(database_url, settings)
    ledger.append(300)
    ledger.append(300)
    with psycopg.connect(database_url) as connection:
        connection.execute(ROLL_BACK.encode())
    with pytest.raises(LedgerBroken, match="precedent ledger recover"):
        ledger.integrator().require_continued()
    return ledger


def go_on(ledger: Ledger, **options: bool) -> Recovered:
    return recover(ledger.url, ledger.settings, "operator", "the disk died", **options)


def require_whole(ledger: Ledger) -> None:
    ledger.append(5)
    ledger.integrator().require_continued()
    ledger.require_intact()


def test_after_a_recovery_the_record_goes_on_and_says_what_is_lost(ledger: Ledger) -> None:
    done = go_on(ledger)
    require_whole(ledger)
    assert {one.checkpoint.size for one in done.lost} == {600}
    assert len(done.lost) == 2
    (told,) = read_key_history(ledger.url, ledger.settings)["recoveries"]
    assert (told["seq"], told["op"], told["found"]["size"], told["reason"]) == (done.seq, "rollback", 300, "the disk died")
    # The lost checkpoint stays, signed, in the entry and beside the memory and the anchor.
    kept = [*ledger.settings.signer_path.glob("*.lost-600-*"), *ledger.settings.anchor_path.glob("*.lost-600-*")]
    assert len(kept) == 2
    for note in (*(path.read_text() for path in kept), *(one["note"] for one in told["lost"])):
        assert open_checkpoint(note, ledger.key()).size == 600


def test_a_database_that_was_taken_back_and_appended_to_is_recovered_too(ledger: Ledger) -> None:
    sample.append_all(ledger.url, [sample.event(n) for n in range(400)])
    with pytest.raises(LedgerBroken, match="rewritten"):
        ledger.integrator().require_continued()
    done = go_on(ledger)
    assert done.seq == 700
    require_whole(ledger)


def test_where_nothing_is_lost_nothing_is_recovered(ledger: Ledger) -> None:
    go_on(ledger)
    require_whole(ledger)
    with pytest.raises(NothingToRecover):
        go_on(ledger)
    with pytest.raises(SettingsInvalid, match="rotate-signer"):
        go_on(ledger, has_new_key=True)
    with pytest.raises(FieldInvalid):
        recover(ledger.url, ledger.settings, "operator", "")
    assert len(entries_of(ledger)) == 1


class Crash(Exception):
    pass


@pytest.mark.parametrize("where", ["Signer.begin_anew", "FolderAnchor.set_aside", "FolderAnchor.write"])
def test_a_recovery_that_was_interrupted_goes_on_with_its_entry(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(f"precedent.ledger.{'signer' if where.startswith('Signer') else 'anchor'}.{where}", crash)
        with pytest.raises(Crash):
            go_on(ledger)
    with pytest.raises(LedgerBroken):
        ledger.integrator().require_continued()
    first = entries_of(ledger)
    go_on(ledger)
    require_whole(ledger)
    assert entries_of(ledger) == first
    assert len(first) == 1


def entries_of(ledger: Ledger) -> list[int]:
    with psycopg.connect(ledger.url) as connection:
        return [entry.seq for entry in read_control(connection, ledger.chain_id) if entry.kind == Kind.RECOVERY]


def test_a_recovery_entry_alone_takes_nobody_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write the database as its owner still has the signer and the anchors against him."""
    monkeypatch.setattr(module, "_go_on", lambda *_: None)
    go_on(ledger)
    with pytest.raises(LedgerBroken, match="taken back"):
        ledger.integrator().require_continued()
    with pytest.raises(LedgerBroken):
        ledger.append(1)


def test_a_database_that_contradicts_itself_is_not_recovered(ledger: Ledger) -> None:
    with psycopg.connect(ledger.url) as connection:
        connection.execute("alter table ledger.entry disable trigger user")
        connection.execute("delete from ledger.entry where seq >= 290")
    with pytest.raises(LedgerBroken, match="covers 300 entries, but the database has 290"):
        go_on(ledger)


def test_a_lost_key_is_replaced_by_a_recovery_that_says_so(database_url: str, settings: Settings) -> None:
    ledger = Ledger(database_url, settings)
    ledger.append(10)
    before = ledger.key()
    (settings.keys_path / "signer.key").unlink()
    with pytest.raises(SettingsInvalid, match="recover --new-key"):
        ledger.integrator()
    with pytest.raises(SettingsInvalid):
        go_on(ledger)
    done = go_on(ledger, has_new_key=True)
    assert done.verifier == ledger.key() != before
    require_whole(ledger)
    history = read_key_history(ledger.url, settings)
    assert [key["verifier_key"] for key in history["keys"]] == [str(done.verifier)]
    assert [(one["op"], one["verifier_key"]) for one in history["recoveries"]] == [("new_key", str(done.verifier))]
    # It can be rotated like any other.
    rotate_signer(ledger.url, settings, "operator", "as every year")
    require_whole(ledger)


def test_another_key_than_the_one_that_signed_is_not_gone_on_with_by_mistake(database_url: str, settings: Settings) -> None:
    ledger = Ledger(database_url, settings)
    ledger.append(10)
    (settings.keys_path / "signer.key").write_text("33" * 32)
    with pytest.raises(LedgerBroken, match="couldn't read what was signed last"):
        ledger.integrator().require_continued()
    with pytest.raises(SettingsInvalid, match="another key signed"):
        go_on(ledger)
    go_on(ledger, has_new_key=True)
    require_whole(ledger)


def test_an_older_home_beside_a_newer_anchor_is_told_by_the_anchor(ledger: Ledger) -> None:
    for path in ledger.settings.signer_path.glob("*.checkpoint"):
        path.unlink()
    done = go_on(ledger)
    assert [one.where for one in done.lost] == [f"the anchor {ledger.settings.anchor_path}"]
    require_whole(ledger)


def test_of_several_anchors_each_is_heard_and_each_is_told(database_url: str, settings: Settings) -> None:
    folders = [settings.home_dir / "one", settings.home_dir / "two"]
    fields = settings.model_dump(exclude_unset=True) | {"anchor_dir": ",".join(map(str, folders))}
    ledger = Ledger(database_url, load_settings(**fields))
    ledger.append(300)
    older = FolderAnchor(folders[0]).read(ledger.origin)
    assert older is not None
    ledger.append(300)
    FolderAnchor(folders[0]).write(ledger.origin, older)
    for path in ledger.settings.signer_path.glob("*.checkpoint"):
        path.unlink()
    with psycopg.connect(database_url) as connection:
        connection.execute(ROLL_BACK.encode())
    with pytest.raises(LedgerBroken, match="600 entries, the database has 300"):
        ledger.integrator().require_continued()
    assert [one.where for one in go_on(ledger).lost] == [f"the anchor {folders[1]}"]
    require_whole(ledger)
    assert FolderAnchor(folders[0]).read(ledger.origin) == FolderAnchor(folders[1]).read(ledger.origin)
