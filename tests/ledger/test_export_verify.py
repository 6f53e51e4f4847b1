"""Exports verified over processes, since a checkpoint, by the command line, and by a reader of C2SP tiles that shares no code."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sample_entries as sample
from exporting import AT, Covered
from integrated import SEED
from kept_ledger import Ledger
from ledger_command import run_ledger

from precedent.errors import ExportRefused
from precedent.ledger import export_verify
from precedent.ledger.canonical import are_canonical
from precedent.ledger.export import export_ledger, verifier_key
from precedent.ledger.export_verify import verify_export
from precedent.ledger.note import Checkpoint, open_checkpoint
from precedent.ledger.rotate_signer import rotate_signer
from precedent.ledger.standalone import verify as standalone
from precedent.ledger.verify import verify_database
from precedent.settings import Settings

SIZE = 34 + 600


@pytest.fixture(scope="module")
def older(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Covered, str]:
    """A covered ledger, and the note of a checkpoint of its first 334 entries."""
    covered = Covered(module_database_url, tmp_path_factory.mktemp("witnesses"))
    sample.fill(module_database_url)
    covered.append(300)
    note = covered.anchor.read(covered.signer.origin)
    assert note is not None
    covered.append(300)
    return covered, note


@pytest.fixture(scope="module")
def covered(older: tuple[Covered, str]) -> Covered:
    return older[0]


@pytest.fixture(scope="module")
def whole(covered: Covered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "export"
    covered.export(folder)
    return folder


def test_many_processes_say_what_the_stand_alone_verifier_says(whole: Path, covered: Covered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_verify, "TASK_BUNDLES", 1)
    heard: list[tuple[int, int]] = []
    key = covered.signer.verifier
    report = verify_export(whole, key=key, processes=2, on_progress=lambda done, size: heard.append((done, size)))
    assert report == standalone.verify(whole, str(key))
    assert (report["is_intact"], report["counts"]["intact"]) == (True, SIZE)
    assert len(heard) == 3
    assert heard[-1] == (SIZE, SIZE)


def test_since_a_checkpoint_only_what_came_after_it_is_read(older: tuple[Covered, str], whole: Path) -> None:
    covered, note = older
    report = verify_export(whole, key=covered.signer.verifier, since=note, processes=1)
    # From the bundle in which entry 334 stands; and the policies, that always travel along.
    assert (report["is_intact"], report["checked"]) == (True, SIZE)
    grown = verify_export(whole, since=(whole / "checkpoint").read_text(), processes=1)
    assert (grown["is_intact"], grown["checked"]) == (True, 256 + SIZE - 512)


def test_a_checkpoint_that_the_export_does_not_continue_is_told(older: tuple[Covered, str], whole: Path, tmp_path: Path) -> None:
    covered, note = older
    key = covered.signer.keys[0] if hasattr(covered.signer, "keys") else covered.signer._key
    text = standalone.Note.parse(note.encode()).text
    root = text.split("\n")[2]
    other = key.sign(text.replace(root, "A" * 43 + "="))
    assert verify_export(whole, since=other, processes=1)["ledger"] == ["forked"]
    beyond = key.sign(text.replace("\n334\n", "\n9000\n"))
    assert verify_export(whole, since=beyond, processes=1)["ledger"] == ["truncated"]
    unsigned = note.replace(root, "A" * 43 + "=")
    assert verify_export(whole, since=unsigned, processes=1)["ledger"] == ["wrong_signer", "forked"]
    with pytest.raises(ExportRefused, match="couldn't verify"):
        verify_export(whole, since="nothing\n")
    with pytest.raises(ExportRefused, match="this is no finished export"):
        verify_export(tmp_path)


TEXTS = {
    b'{"a":1,"b":[true,null,"x"]}': True,
    b'{"a":"\xc3\xa9\\u0001\\n\\"/"}': True,
    b'{"a":"20:00:00.000000Z"}': True,
    b'{"a": 1}': False,
    b'{"b":1,"a":1}': False,
    b'{"a":1,"a":1}': False,
    b'{"a":1.5}': False,
    b'{"a":1e5}': False,
    b'{"a":NaN}': False,
    b'{"a":123456789012345678}': False,
    b'{"a":"\\u001F"}': False,
    b'{"a":1},{"a":2}': False,
    b'{"a":[{}': False,
    b"[1]": False,
    b"\xff": False,
    b"": False,
}


@pytest.mark.parametrize("checker", [are_canonical, standalone.are_canonical])
def test_both_readers_of_json_accept_the_one_way_to_write_an_object(checker: Callable[[list[bytes]], bool]) -> None:
    for text, wanted in TEXTS.items():
        assert checker([text]) == wanted, text
        assert checker([b'{"z":0}', text, b'{"z":0}']) == wanted, text
    assert checker([text for text, wanted in TEXTS.items() if wanted])
    # Together they read as two objects, apart as none.
    assert not checker([b'{"a":[{}', b"{}]}"])


@pytest.fixture
def command(
    covered: Covered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs `precedent ledger …` on the covered ledger, whose signer's key is given."""
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", covered.url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRECEDENT_SIGNER_KEY", SEED.hex())

    def call(*arguments: str) -> tuple[int, str]:
        return run_ledger(monkeypatch, capsys, *arguments)[:2]

    return call


def test_the_command_line_exports_and_verifies(command: Callable[..., tuple[int, str]], covered: Covered, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    code, text = command("export", str(folder), "--from", "300", "--to", "309", "--without-personal")
    assert (code, text.splitlines()[0][:34]) == (0, "entries 300 to 309 of 634 exported")
    key = str(covered.signer.verifier)
    code, text = command("verify", "--export", str(folder), "--key", key, "--processes", "1")
    assert code == 0, text
    assert "17 intact" in text
    assert (folder / "keys.txt").read_text() == f"{key}\n"
    envelopes = folder / "tile/entries/001"
    raw = bytearray(envelopes.read_bytes())
    raw[116 * 45 + 30] ^= 1
    envelopes.write_bytes(raw)
    code, text = command("verify", "--export", str(folder), "--json", "--processes", "1")
    report = json.loads(text)
    assert (code, report["findings"][0]["seq"], report["findings"][0]["verdict"]) == (1, 301, "mutated")
    assert command("verify", "--key", key)[0] == 2
    assert command("export", str(folder))[0] == 1


def test_the_command_line_keeps_a_checkpoint_and_goes_on_from_it(
    command: Callable[..., tuple[int, str]], older: tuple[Covered, str], tmp_path: Path
) -> None:
    covered, note = older
    kept, path = tmp_path / "kept", tmp_path / "older"
    code, text = command("verify", "--processes", "1", "--keep", str(kept))
    assert (code, kept.read_text()) == (0, covered.anchor.read(covered.signer.origin)), text
    path.write_text(note)
    code, text = command("verify", "--processes", "1", "--since", str(path), "--json")
    report = json.loads(text)
    assert (code, report["since"], report["counts"]["intact"]) == (0, 256, SIZE - 256), text
    assert command("verify", "--processes", "1", "--since", str(kept))[0] == 0
    path.write_text(note.replace("\n334\n", "\n333\n"))
    assert command("verify", "--processes", "1", "--since", str(path))[0] == 2


def test_since_a_checkpoint_only_newer_entries_of_the_database_are_read(older: tuple[Covered, str]) -> None:
    covered, note = older
    since = open_checkpoint(note, covered.signer.verifier)
    with psycopg.connect(covered.url) as connection:
        (full, partial) = (
            connection.execute(f"select root from ledger.tile where level = 0 and number = {number}".encode()).fetchone()
            for number in (0, 1)
        )
    assert full
    assert partial
    # At the border of a tile the checkpoint is told by the tiles alone.
    border = Checkpoint(since.origin, 256, full[0])
    for checkpoint, begin in ((since, 256), (border, 256)):
        report = verify_database(covered.url, processes=1, since=checkpoint)
        assert (report.is_intact, report.since, report.counts["intact"]) == (True, begin, SIZE - begin), str(report)
    for other in (Checkpoint(since.origin, 334, bytes(32)), Checkpoint(since.origin, 256, bytes(32))):
        assert verify_database(covered.url, processes=1, since=other).counts["forked"] == 1
    assert verify_database(covered.url, processes=1, since=Checkpoint(since.origin, 9000, bytes(32))).counts["truncated"] == 1
    # The older tile is believed only as far as the checkpoint proves it.
    with psycopg.connect(covered.url) as connection:
        connection.execute("alter table ledger.tile disable trigger user")
        connection.execute("update ledger.tile set root = set_byte(root, 3, get_byte(root, 3) # 1) where number = 0")
    try:
        assert verify_database(covered.url, processes=1, since=since).counts["forked"] > 0
    finally:
        with psycopg.connect(covered.url) as connection:
            connection.execute("update ledger.tile set root = set_byte(root, 3, get_byte(root, 3) # 1) where number = 0")


def test_an_export_is_followed_from_each_key_that_was_rotated(database_url: str, settings: Settings, tmp_path: Path) -> None:
    ledger = Ledger(database_url, settings)
    keys, notes = [], []
    for _ in range(3):
        ledger.append(2)
        keys.append(str(ledger.key()))
        notes.append(ledger.notes()[-1][1])
        rotate_signer(database_url, settings, "operator", "a year has passed")
    ledger.append(2)
    export_ledger(database_url, tmp_path / "export", verifier_key(database_url, settings), exported_at=AT)
    assert (tmp_path / "export/keys.txt").read_text().split() == [*keys, str(ledger.key())]
    for at, key in enumerate((*keys, str(ledger.key()))):
        report = standalone.verify(tmp_path / "export", key)
        assert (report["is_intact"], report["key"]) == (True, str(ledger.key())), report["findings"]
        if at < len(notes):
            assert standalone.verify(tmp_path / "export", key, standalone.Note.parse(notes[at].encode()))["is_intact"]
            assert verify_export(tmp_path / "export", since=notes[at], processes=1)["is_intact"]


class TileReader:
    """A client of C2SP tlog-tiles, written from that text and RFC 6962 alone, over a folder instead of HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _, size, root = (folder / "checkpoint").read_text().split("\n")[:3]
        self.size, self.root = int(size), b64decode(root)

    def resource(self, kind: str, index: int, width: int) -> bytes:
        digits = str(index)
        digits = "0" * (-len(digits) % 3) + digits
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        path = "/".join([f"x{group}" for group in groups[:-1]] + [groups[-1]])
        return (self.folder / "tile" / kind / (path if width == 256 else f"{path}.p/{width}")).read_bytes()

    def width_at(self, level: int, index: int) -> int:
        return min(256, self.size // 256**level - index * 256)

    def subtree(self, level: int, place: int) -> bytes:
        """The hash of a complete subtree of 2^level leaves."""
        tile_level, within = divmod(level, 8)
        first = place << within
        index, at = divmod(first, 256)
        raw = self.resource(str(tile_level), index, self.width_at(tile_level, index))
        hashes = [raw[32 * n : 32 * n + 32] for n in range(at, at + (1 << within))]
        while len(hashes) > 1:
            hashes = [hashlib.sha256(b"\x01" + hashes[n] + hashes[n + 1]).digest() for n in range(0, len(hashes), 2)]
        return hashes[0]

    def tree_hash(self, begin: int, end: int) -> bytes:
        """MTH(D[begin:end]) of RFC 6962, section 2.1."""
        count = end - begin
        if count & (count - 1) == 0 and begin % count == 0:
            return self.subtree(count.bit_length() - 1, begin // count)
        split = 1 << ((count - 1).bit_length() - 1)
        return hashlib.sha256(b"\x01" + self.tree_hash(begin, begin + split) + self.tree_hash(begin + split, end)).digest()

    def root_over(self, leaf: bytes, index: int, begin: int, end: int) -> bytes:
        """The root that follows from a leaf and its audit path, RFC 6962, section 2.1.1."""
        if end - begin == 1:
            return leaf
        split = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if index < split:
            return hashlib.sha256(b"\x01" + self.root_over(leaf, index, begin, split) + self.tree_hash(split, end)).digest()
        return hashlib.sha256(b"\x01" + self.tree_hash(begin, split) + self.root_over(leaf, index, split, end)).digest()

    def entry(self, index: int) -> bytes:
        number, at = divmod(index, 256)
        bundle = self.resource("entries", number, self.width_at(0, number))
        for _ in range(at):
            bundle = bundle[2 + int.from_bytes(bundle[:2]) :]
        return bundle[2 : 2 + int.from_bytes(bundle[:2])]


def test_a_client_written_from_the_specification_alone_proves_entries_of_an_export(whole: Path, covered: Covered, tmp_path: Path) -> None:
    covered.export(tmp_path / "range", first=300, last=310)
    for folder, indices in ((whole, (0, 1, 255, 256, 300, 511, 512, SIZE - 1)), (tmp_path / "range", (300, 309))):
        reader = TileReader(folder)
        assert reader.size == SIZE
        for index in indices:
            leaf = hashlib.sha256(b"\x00" + reader.entry(index)).digest()
            assert reader.root_over(leaf, index, 0, SIZE) == reader.root, index
            assert reader.root_over(bytes(32), index, 0, SIZE) != reader.root
    assert TileReader(whole).tree_hash(0, SIZE) == TileReader(whole).root
