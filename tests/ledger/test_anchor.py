"""Anchors: several, slow, broken, of somebody else's making; none of them holds up another."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from running_api import wait_until

from precedent.errors import SettingsInvalid
from precedent.ledger import anchor as module
from precedent.ledger.anchor import Anchors, FolderAnchor, anchors_of

ORIGIN = "precedent/test"


class SlowAnchor(FolderAnchor):
    """A folder that keeps nothing until it is let go on, as a disk of another machine may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go_on = Event()
        self.kept: list[str] = []

    def write(self, origin: str, note: str) -> None:
        self.go_on.wait()
        self.kept.append(note)
        super().write(origin, note)


class OwnAnchor(FolderAnchor):
    """What an operator might bring along."""

    def __init__(self) -> None:
        super().__init__(Path("own"))


def test_an_anchor_keeps_the_newest_note_of_each_origin(tmp_path: Path) -> None:
    anchor = FolderAnchor(tmp_path / "anchor")
    assert anchor.read(ORIGIN) is None
    for note in ("first\n", "second\n"):
        anchor.write(ORIGIN, note)
        anchor.write("precedent/other", "its own\n")
        assert FolderAnchor(tmp_path / "anchor").read(ORIGIN) == note
    assert sorted(path.name for path in (tmp_path / "anchor").iterdir()) == ["precedent_other.checkpoint", "precedent_test.checkpoint"]


def test_all_anchors_get_the_newest_note_and_one_that_hangs_holds_up_none(tmp_path: Path) -> None:
    slow, quick = SlowAnchor(tmp_path / "slow"), FolderAnchor(tmp_path / "quick")
    anchors = Anchors([slow, quick])
    for n in range(20):
        anchors.write(ORIGIN, f"note {n}\n")
    wait_until(lambda: quick.read(ORIGIN) == "note 19\n", 10, "the other anchor")
    assert slow.read(ORIGIN) is None
    slow.go_on.set()
    anchors.close()
    assert slow.kept[-1] == "note 19\n"
    assert len(slow.kept) <= 2  # what was overtaken is skipped
    assert anchors.read(ORIGIN) == sorted([(str(tmp_path / "slow"), "note 19\n"), (str(tmp_path / "quick"), "note 19\n")])
    assert anchors.failures() == {}


def test_an_anchor_that_fails_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    place = tmp_path / "anchor"
    place.write_text("a file where the folder should be")
    anchors = Anchors([FolderAnchor(place), FolderAnchor(tmp_path / "other")])
    anchors.write(ORIGIN, "note\n")
    wait_until(lambda: str(place) in anchors.failures(), 10, "the failure to be told")
    wait_until(lambda: anchors.read(ORIGIN) == [(str(tmp_path / "other"), "note\n")], 10, "the other anchor")
    place.unlink()
    wait_until(lambda: anchors.failures() == {}, 10, "the anchor to be written")
    assert FolderAnchor(place).read(ORIGIN) == "note\n"
    anchors.close()


def test_an_anchor_that_does_not_answer_is_waited_for_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    slow = SlowAnchor(tmp_path)
    monkeypatch.setattr(slow, "read", lambda _: slow.go_on.wait())
    anchors = Anchors([slow])
    assert anchors.read(ORIGIN) == []
    assert anchors.failures() == {str(tmp_path): "no answer within 0.05 s"}
    slow.go_on.set()


def test_a_setting_names_folders_and_anchors_of_ones_own(tmp_path: Path) -> None:
    first, second, own = anchors_of([str(tmp_path / "one"), str(tmp_path / "two"), f"python:{__name__}:OwnAnchor"], tmp_path / "default")
    assert [anchor.name for anchor in (first, second, own)] == [str(tmp_path / "one"), str(tmp_path / "two"), "own"]
    assert isinstance(own, OwnAnchor)
    assert [anchor.name for anchor in anchors_of([], tmp_path / "default")] == [str(tmp_path / "default")]
    for wrong in ("python:nowhere:Anchor", f"python:{__name__}:NoAnchor", f"python:{__name__}"):
        with pytest.raises(SettingsInvalid, match="couldn't make the anchor"):
            anchors_of([wrong], tmp_path)
