"""Epoch keys: rotation on a real database, stopped at every step, with processes beside it that have not heard of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sample_entries as sample

from precedent.clock import SystemClock
from precedent.db.engine import API, connect
from precedent.errors import LedgerBroken, SettingsInvalid
from precedent.ledger import rotate_epoch as rotation
from precedent.ledger import rotate_epoch_store
from precedent.ledger.entry import NewSubject, SubjectMoved
from precedent.ledger.epoch_keys import FolderKeys, HeldKeys, parse_keys
from precedent.ledger.keyring import Keyring, load_keyring, open_keyring
from precedent.ledger.rotate_epoch import Rotated, is_due, rotate_epoch
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append
from precedent.settings import load_settings


class Month(SystemClock):
    """The fifth day of a month."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def now_us(self) -> int:
        return 1_793_836_800_000_000 + (self.number - 11) * 30 * 86_400_000_000  # 2026-11-05


NOVEMBER, DECEMBER, JANUARY = Month(11), Month(12), Month(13)


def people(url: str, keyring: Keyring, count: int) -> dict[UUID, bytes]:
    """So many new subjects with an entry each; their data keys."""
    keys = {sample.CLOCK.new_id(): os.urandom(32) for _ in range(count)}
    subjects = [NewSubject(one, os.urandom(32), *keyring.wrap(key)) for one, key in keys.items()]
    sample.append_all(url, [sample.event(n, subject=subject) for n, subject in enumerate(subjects)])
    return keys


def unwrapped(url: str, keyring: Keyring) -> dict[UUID, bytes]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select subject_id, epoch_key, wrapped from ledger.subject_key").fetchall()
    return {subject_id: keyring.unwrap(epoch, wrapped) for subject_id, epoch, wrapped in rows}


def rotations(url: str) -> list[dict[str, Any]]:
    query = """
    select convert_from(s.stored[1], 'UTF8')::jsonb from ledger.section s join ledger.entry e using (chain_id, seq)
    where get_byte(e.envelope, 1) = 9 order by seq
    """
    with psycopg.connect(url) as connection:
        return [core for (core,) in connection.execute(query)]


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return load_keyring(tmp_path / "keys", "2026-11", create=True)


def names(keyring: Keyring) -> list[str]:
    keyring.epochs.refresh()
    return keyring.epochs.names()


def test_a_rotation_keeps_the_living_destroys_the_old_key_and_is_recorded(
    database_url: str, keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "PAGE_KEYS", 3)
    keys = people(database_url, keyring, 7)
    old = (tmp_path / "keys" / "epoch-2026-11.key").read_text()
    assert [is_due(database_url, keyring.epochs, month) for month in (NOVEMBER, DECEMBER)] == [False, True]
    rotated = rotate_epoch(database_url, keyring.epochs, "test", DECEMBER)
    assert not is_due(database_url, keyring.epochs, DECEMBER)
    assert (rotated.epoch, rotated.rewrapped, rotated.destroyed) == ("epoch-2026-12", 7, ("epoch-2026-11",))
    assert unwrapped(database_url, keyring) == keys
    said = {"op": "rotate_epoch", "epoch": "epoch-2026-12", "principal": "test"}
    assert rotations(database_url) == [
        said | {"destroyed": ended, "rewrapped": n} for n, ended in ((3, []), (3, []), (1, ["epoch-2026-11"]))
    ]
    assert names(keyring) == ["epoch-2026-12"]
    assert all(old.strip() not in path.read_text() for path in (tmp_path / "keys").iterdir())
    assert verify_database(database_url, processes=1).is_intact
    assert rotate_epoch(database_url, keyring.epochs, "test", DECEMBER).rewrapped == 0
    assert len(rotations(database_url)) == 3


@pytest.mark.parametrize("step", ["created", "page", "last", "destroying"])
def test_a_rotation_that_was_stopped_anywhere_loses_nothing_and_goes_on(
    database_url: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(rotation, "PAGE_KEYS", 2)
    keys = people(database_url, keyring, 5)
    original, pages = rotate_epoch_store.rewrap, []

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    def rewrap(*arguments: Any) -> int:
        pages.append(1)
        if len(pages) == 2:
            raise Crash
        return original(*arguments)

    with monkeypatch.context() as patch:
        match step:
            case "created":
                patch.setattr(rotation, "_rotate_chain", crash)
            case "page":
                patch.setattr(rotate_epoch_store, "rewrap", rewrap)
            case "last":
                patch.setattr(FolderKeys, "destroy", crash)
            case "destroying":
                patch.setattr(Path, "unlink", crash)
        with pytest.raises(Crash):
            rotate_epoch(database_url, keyring.epochs, "test", DECEMBER)
    assert unwrapped(database_url, keyring) == keys
    assert is_due(database_url, keyring.epochs, DECEMBER)
    rotate_epoch(database_url, keyring.epochs, "test", DECEMBER)
    assert unwrapped(database_url, keyring) == keys
    assert names(keyring) == ["epoch-2026-12"]
    ended = [epoch for core in rotations(database_url) for epoch in core["destroyed"]]
    assert (ended, sum(core["rewrapped"] for core in rotations(database_url))) == (["epoch-2026-11"], 5)
    assert verify_database(database_url, processes=1).is_intact


def test_a_process_that_has_not_heard_of_the_rotation_cannot_leave_a_key_under_the_old_epoch(
    database_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    people(database_url, keyring, 1)
    late = load_keyring(tmp_path / "keys", "2026-11", create=False)
    rotate_epoch(database_url, keyring.epochs, "test", DECEMBER)
    subject = NewSubject(sample.CLOCK.new_id(), os.urandom(32), *late.wrap(bytes(32)))
    assert subject.epoch_key == "epoch-2026-11"
    with connect(database_url, API) as api:
        chain_id = chain_id_of(api, "main")
        assert [type(one) for one in append(api, chain_id, [sample.event(subject=subject)])] == [SubjectMoved]
    unwrapped(database_url, late)  # it learns of the new key when it meets it
    assert late.current_epoch == "epoch-2026-12"
    people(database_url, late, 1)


def test_a_second_rotation_within_a_month_is_asked_for(database_url: str, keyring: Keyring) -> None:
    keys = people(database_url, keyring, 1)
    assert rotate_epoch(database_url, keyring.epochs, "test", NOVEMBER).destroyed == ()
    assert rotations(database_url) == []
    for wanted in ("epoch-2026-11-01", "epoch-2026-11-02"):
        assert rotate_epoch(database_url, keyring.epochs, "test", NOVEMBER, again=True).epoch == wanted
    assert rotate_epoch(database_url, keyring.epochs, "test", JANUARY).epoch == "epoch-2027-01"
    assert unwrapped(database_url, keyring) == keys


def test_keys_that_nothing_was_wrapped_under_in_this_database_may_belong_to_another_and_stay(database_url: str, keyring: Keyring) -> None:
    assert rotate_epoch(database_url, keyring.epochs, "test", DECEMBER, again=True) == Rotated("epoch-2026-11", 0, ())
    assert (names(keyring), rotations(database_url)) == (["epoch-2026-11"], [])
    assert not is_due(database_url, keyring.epochs, DECEMBER)


def test_nothing_is_destroyed_where_a_key_cannot_be_unwrapped(database_url: str, keyring: Keyring) -> None:
    people(database_url, Keyring(bytes(32), HeldKeys({"epoch-2026-10": os.urandom(32)})), 1)
    people(database_url, keyring, 1)
    with pytest.raises(LedgerBroken, match="the key of epoch-2026-10 is missing"):
        rotate_epoch(database_url, keyring.epochs, "test", DECEMBER)
    assert names(keyring) == ["epoch-2026-11", "epoch-2026-12"]
    assert rotations(database_url) == []


def test_keys_of_the_environment_are_rotated_by_whoever_sets_it(database_url: str, tmp_path: Path) -> None:
    november, december = os.urandom(32), os.urandom(32)
    both = f"epoch-2026-12={december.hex()} epoch-2026-11={november.hex()}"
    keys = people(database_url, Keyring(bytes(32), HeldKeys({"epoch-2026-11": november})), 2)
    with pytest.raises(SettingsInvalid, match="add it to PRECEDENT_EPOCH_KEYS"):
        rotate_epoch(database_url, HeldKeys({"epoch-2026-11": november}), "test", DECEMBER)
    with pytest.raises(SettingsInvalid, match="nothing is wrapped under epoch-2026-11 any more: take it out"):
        rotate_epoch(database_url, parse_keys(both), "test", DECEMBER)
    settings = load_settings(home=tmp_path, root_key="00" * 32, epoch_keys=f"epoch-2026-12={december.hex()}")
    assert unwrapped(database_url, open_keyring(settings)) == keys


class ElsewhereKeys:
    """Keys that never leave their home, as those of a key management service: a file of names here, whose bytes only it derives."""

    ROOT: Path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.ROOT.iterdir())

    def refresh(self) -> None:
        pass

    def create(self, epoch: str) -> None:
        (self.ROOT / epoch).write_bytes(os.urandom(32))

    def destroy(self, epoch: str) -> None:
        (self.ROOT / epoch).unlink()

    def wrap(self, epoch: str, data_key: bytes) -> bytes:
        return self._held(epoch).wrap(epoch, data_key)

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        return self._held(epoch).unwrap(epoch, wrapped)

    def _held(self, epoch: str) -> HeldKeys:
        path = self.ROOT / epoch
        return HeldKeys({epoch: path.read_bytes()} if path.exists() else {})


def test_a_class_of_the_operators_keeps_and_rotates_keys_elsewhere(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    monkeypatch.setattr(ElsewhereKeys, "ROOT", home, raising=False)
    settings = load_settings(home=tmp_path, root_key="00" * 32, epoch_keys=f"python:{__name__}:ElsewhereKeys")
    with pytest.raises(SettingsInvalid, match="couldn't find a key"):
        open_keyring(settings)
    elsewhere = open_keyring(settings, "2026-11", create=True)
    keys = people(database_url, elsewhere, 3)
    assert rotate_epoch(database_url, elsewhere.epochs, "test", DECEMBER).destroyed == ("epoch-2026-11",)
    assert unwrapped(database_url, open_keyring(settings)) == keys
    assert elsewhere.epochs.names() == ["epoch-2026-12"]


@pytest.mark.parametrize(
    ("root_key", "epoch_keys", "words"),
    [
        ("00" * 32, None, "set both or neither"),
        ("00", "epoch-2026-12=" + "00" * 32, "PRECEDENT_ROOT_KEY: 1 bytes"),
        ("00" * 32, "epoch-2026-12=zz", "epoch-2026-12: not hexadecimal"),
        ("00" * 32, "december=" + "00" * 32, "no name like"),
        ("00" * 32, " ", "couldn't find a key"),
        ("00" * 32, "python:nowhere:Keys", "No module named"),
        ("00" * 32, "python:precedent.ledger.epoch_keys:NoKeys", "has no attribute"),
    ],
)
def test_keys_of_the_environment_are_checked(tmp_path: Path, root_key: str, epoch_keys: str | None, words: str) -> None:
    settings = load_settings(home=tmp_path, root_key=root_key, epoch_keys=epoch_keys)
    with pytest.raises(SettingsInvalid, match=words):
        open_keyring(settings)
