"""What an export holds, and that its own verifier names whatever was changed in it."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sample_entries as sample
from exporting import AT, Covered
from integrated import SEED

from precedent.errors import ExportRefused, LedgerBroken
from precedent.ledger import export as export_module
from precedent.ledger.entry import Draft, Kind, Section, draft_entry
from precedent.ledger.note import SigningKey
from precedent.ledger.standalone import verify as standalone

SIZE = 34 + 600


@pytest.fixture(scope="module")
def covered(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Covered:
    made = Covered(module_database_url, tmp_path_factory.mktemp("witnesses"))
    sample.fill(module_database_url)
    made.append(600)
    return made


@pytest.fixture(scope="module")
def whole(covered: Covered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "export"
    assert covered.export(folder) == export_module.Exported(SIZE, 0, SIZE, 0)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "export"))


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in report["counts"].items() if number}


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


def pack(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)


def rename_digests(folder: Path) -> None:
    """As someone would who changes files of an export and knows the format: a manifest that fits."""
    path = folder / "manifest.ndjson"
    said = json.loads(path.read_bytes().splitlines()[0])
    said["files"] = {name: standalone.sha256((folder / name).read_bytes()).hexdigest() for name in said["files"]}
    line = json.dumps(said).encode()
    path.write_bytes(line + b'\n"%s"\n' % standalone.sha256(line).hexdigest().encode())


def change_sections(folder: Path, bundle: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = folder / f"sections/{bundle}.ndjson.gz"
    path.write_bytes(pack(change(gzip.decompress(path.read_bytes()).splitlines())))
    rename_digests(folder)


def test_an_export_is_laid_out_as_tiles_and_verifies_alone_in_another_folder(copied: Path, covered: Covered) -> None:
    expected = ["checkpoint", "keys.txt", "manifest.ndjson", *(f"policies/finance-constitution@1.{n}.0.yaml" for n in range(4))]
    expected += [f"sections/00{n}.ndjson.gz" for n in range(3)]
    expected += ["tile/0/000", "tile/0/001", "tile/0/002.p/122", "tile/1/000.p/2"]
    expected += ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/122", "verify.py"]
    assert files_of(copied) == expected
    key = str(covered.signer.verifier)
    argv = [sys.executable, "-I", str(copied / "verify.py"), "--key", key, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", env={}, timeout=60)
    report = json.loads(done.stdout)
    assert (done.returncode, report["is_intact"], counts(report), report["key"]) == (0, True, {"intact": SIZE}, key), done.stderr
    assert files_of(copied) == expected


def test_the_stand_alone_verifier_is_short_and_imports_little() -> None:
    text = Path(standalone.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    lines = [line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert set(lines) <= {*sys.stdlib_module_names, "cryptography"}


def test_any_flipped_byte_is_named(copied: Path) -> None:
    tried = 0
    for name in files_of(copied):
        size = (copied / name).stat().st_size
        for place in sorted({*range(0, size, max(1, size // 5)), 4, 8, 9, size - 1}):
            flip(copied / name, place)
            tried += 1
            if name in ("manifest.ndjson", "checkpoint", "keys.txt"):
                with pytest.raises(ValueError, match=name):
                    standalone.verify(copied)
            else:
                report = standalone.verify(copied)
                places = [found["where"] for found in report["findings"]]
                if name.startswith("tile/entries/"):
                    seq = int(name.split("/")[2][:3]) * 256 + place // 116
                    assert [(found["seq"], found["to"]) for found in report["findings"]] == [(seq, seq)], f"{name} {place}"
                    assert counts(report) == {"intact": SIZE - 1, "mutated": 1}, f"{name} {place}"
                elif name.startswith("tile/"):
                    assert (places, counts(report)) == ([name], {"intact": SIZE}), f"{name} {place}"
                else:
                    assert name in places, f"{name} {place}: {places}"
            flip(copied / name, place)
    assert tried > 100
    assert standalone.verify(copied)["is_intact"]


@pytest.mark.parametrize(
    "name", ["checkpoint", "keys.txt", "sections/001.ndjson.gz", "tile/0/001", "tile/1/000.p/2", "tile/entries/001", "verify.py"]
)
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    argv = [sys.executable, str(copied / "verify.py")] if name != "verify.py" else [sys.executable, standalone.__file__, str(copied)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    assert name in done.stdout
    assert not done.stderr


def test_an_export_that_was_not_finished_is_none(copied: Path) -> None:
    (copied / "manifest.ndjson").unlink()
    with pytest.raises(ValueError, match="this is no finished export"):
        standalone.verify(copied)


def test_changed_words_are_found_in_an_export_whose_manifest_was_made_to_fit(copied: Path) -> None:
    change_sections(copied, "001", lambda lines: [line.replace(b'"verdict":"approve"', b'"verdict":"deny"') for line in lines])
    report = standalone.verify(copied)
    assert counts(report) == {"intact": SIZE - 128, "mutated": 128}
    assert report["findings"][0]["words"].startswith("they are not those that the entry commits to")


def test_sections_that_are_gone_moved_or_doubled_are_named(copied: Path, whole: Path) -> None:
    def without_one(lines: list[bytes]) -> list[bytes]:
        at = next(n for n, line in enumerate(lines) if line.startswith(b'{"seq":300,'))
        return lines[:at] + lines[at + 4 :]  # a decision: header, core, facts, memory

    change_sections(copied, "001", without_one)
    report = standalone.verify(copied)
    assert [(found["seq"], found["verdict"]) for found in report["findings"]] == [(300, "missing")]
    change_sections(copied, "001", lambda lines: lines + lines[-3:])
    assert not standalone.verify(copied)["is_intact"]


def test_a_swapped_salt_is_found(copied: Path) -> None:
    def swap(lines: list[bytes]) -> list[bytes]:
        head = json.loads(lines[0])
        head["salts"].reverse()
        return [json.dumps(head).encode(), *lines[1:]]

    change_sections(copied, "002", swap)
    assert counts(standalone.verify(copied)) == {"intact": SIZE - 1, "mutated": 1}


def test_entries_that_changed_places_are_reordered(copied: Path) -> None:
    path = copied / "tile/entries/001"
    raw = path.read_bytes()
    path.write_bytes(raw[:116] + raw[232:348] + raw[116:232] + raw[348:])
    report = standalone.verify(copied)
    assert counts(report) == {"intact": SIZE - 2, "reordered": 2}


def rewrite(folder: Path, first: int) -> None:
    """A history that fits itself from entry `first` on: every hash, tile and the manifest made anew; only the signature can't be."""
    size, leaf, leaves = SIZE, b"", []
    for bundle in range(3):
        path = folder / ("tile/entries/002.p/122" if bundle == 2 else f"tile/entries/00{bundle}")
        out = b""
        for at in range(0, len(path.read_bytes()), 116):
            envelope = path.read_bytes()[at + 2 : at + 116]
            seq = len(leaves)
            if seq > first:
                envelope = envelope[:50] + leaf + envelope[82:]
            elif seq == first:
                envelope = envelope[:26] + (int.from_bytes(envelope[26:34]) + 1).to_bytes(8) + envelope[34:]
            leaf = standalone.sha256(b"\0" + envelope).digest()
            leaves.append(leaf)
            out += b"\0\x72" + envelope
        path.write_bytes(out)
    tops = []
    for bundle in range(3):
        own = leaves[bundle * 256 : (bundle + 1) * 256]
        (folder / ("tile/0/002.p/122" if bundle == 2 else f"tile/0/00{bundle}")).write_bytes(b"".join(own))
        if len(own) == 256:
            tops.append(standalone.top(own))
    (folder / "tile/1/000.p/2").write_bytes(b"".join(tops))
    assert size == len(leaves)


def test_a_history_that_was_rewritten_with_all_its_hashes_is_not_the_signed_one(copied: Path) -> None:
    rewrite(copied, 400)
    report = standalone.verify(copied)
    assert report["ledger"] == ["forked"]


def test_another_key_is_a_wrong_signer(copied: Path, covered: Covered) -> None:
    other = sample_key(covered)
    report = standalone.verify(copied, key=str(other.verifier))
    assert report["ledger"] == ["wrong_signer"]
    assert str(other.verifier) in report["findings"][0]["words"]
    # Signed again by it, with its key in keys.txt: only who knows the true key finds out.
    note = standalone.Note.parse((copied / "checkpoint").read_bytes())
    (copied / "checkpoint").write_text(other.sign(note.text))
    (copied / "keys.txt").write_text(f"{other.verifier}\n")
    rename_digests(copied)
    assert standalone.verify(copied)["is_intact"]
    assert standalone.verify(copied, key=str(covered.signer.verifier))["ledger"] == ["wrong_signer"]


def sample_key(covered: Covered) -> SigningKey:
    return SigningKey(covered.signer.origin, bytes(32))


def handover(old: SigningKey, new: SigningKey, *, signers: tuple[SigningKey, ...]) -> Draft:
    """A key entry, by the words of the design: what it says counts if both keys have signed the note in it."""
    text = f"{old.verifier.name}\nsigner handover\n{old.verifier}\n{new.verifier}\n"
    note = text + "\n" + "".join(signer.sign(text).rpartition("\n\n")[2] for signer in signers)
    core = {"op": "rotate_signer", "previous": str(old.verifier), "verifier": str(new.verifier), "note": note, "principal": "test"}
    return draft_entry(sample.CLOCK, Kind.KEY, {Section.CORE: core})


@pytest.mark.parametrize(("signs_old", "signs_new"), [(True, True), (False, True), (True, False)])
def test_a_key_is_followed_to_the_next_if_both_have_signed_the_handover(
    database_url: str, tmp_path: Path, signs_old: bool, signs_new: bool
) -> None:
    tree = Covered(database_url, tmp_path)
    old, new = SigningKey(tree.signer.origin, SEED), SigningKey(tree.signer.origin, bytes(32))
    sample.fill(database_url)
    tree.integrate()
    earlier = tree.anchor.read(tree.signer.origin)
    sample.append_all(database_url, [handover(old, new, signers=tuple(k for k, signs in ((old, signs_old), (new, signs_new)) if signs))])
    tree.integrate()
    note = standalone.Note.parse((tree.anchor.read(tree.signer.origin) or "").encode())
    with psycopg.connect(database_url) as connection:
        connection.execute("alter table ledger.checkpoint disable trigger user")
        connection.execute("update ledger.checkpoint set note = %s where size = 35", (new.sign(note.text),))
    export_module.export_ledger(database_url, tmp_path / "export", new.verifier, exported_at=AT)
    assert (tmp_path / "export/keys.txt").read_text() == f"{old.verifier}\n{new.verifier}\n"
    since = standalone.Note.parse((earlier or "").encode())
    report = standalone.verify(tmp_path / "export", str(old.verifier), since)
    if signs_old and signs_new:
        assert (report["is_intact"], report["key"]) == (True, str(new.verifier)), report["findings"]
        # The old key signs nothing more: what covers the handover needs the new one's signature.
        later = standalone.Note.parse(old.sign(note.text).encode())
        assert standalone.verify(tmp_path / "export", str(old.verifier), later)["ledger"] == ["wrong_signer"]
    else:
        assert (report["ledger"], report["key"]) == (["wrong_signer"], str(old.verifier))


def test_personal_sections_can_be_left_out_lawfully_and_not_otherwise(covered: Covered, copied: Path, tmp_path: Path) -> None:
    covered.export(tmp_path / "without", with_personal=False)
    report = standalone.verify(tmp_path / "without")
    assert (report["is_intact"], counts(report)) == (True, {"intact": SIZE - 4, "withheld": 4})
    # The same absence in an export that does not say so.
    shutil.copy(tmp_path / "without/sections/000.ndjson.gz", copied / "sections/000.ndjson.gz")
    rename_digests(copied)
    report = standalone.verify(copied)
    assert counts(report) == {"intact": SIZE - 4, "missing": 4}
    assert {found["words"] for found in report["findings"]} == {"it is not there, and no erasure entry names it"}


def test_a_range_is_proved_by_the_same_checkpoint_and_holds_no_other_sections(covered: Covered, tmp_path: Path) -> None:
    folder = tmp_path / "range"
    assert covered.export(folder, first=300, last=310).first == 300
    report = standalone.verify(folder)
    # The ten, and seven policies that always travel along.
    assert (report["is_intact"], counts(report), report["size"]) == (True, {"intact": 17}, SIZE)
    lines = gzip.decompress((folder / "sections/001.ndjson.gz").read_bytes()).splitlines()
    assert [json.loads(line)["seq"] for line in lines if line.startswith(b'{"seq"')] == list(range(300, 310))
    assert not (folder / "tile/entries/002.p/122").exists()
    flip(folder / "tile/0/002.p/122", 40)
    assert not standalone.verify(folder)["is_intact"]


@pytest.mark.parametrize(("first", "last"), [(5, 5), (-1, 3), (0, SIZE + 1), (9, 4)])
def test_a_range_that_no_checkpoint_covers_is_refused(covered: Covered, tmp_path: Path, first: int, last: int) -> None:
    with pytest.raises(ExportRefused, match="the newest checkpoint covers 0 to 633"):
        covered.export(tmp_path / "range", first=first, last=last)


def test_an_export_goes_into_an_empty_folder_only(covered: Covered, whole: Path) -> None:
    with pytest.raises(ExportRefused, match="it is not empty"):
        covered.export(whole)


def test_without_a_checkpoint_there_is_nothing_to_export(database_url: str, tmp_path: Path) -> None:
    fresh = Covered(database_url, tmp_path / "witnesses")
    with pytest.raises(ExportRefused, match="no checkpoint covers an entry yet"):
        fresh.export(tmp_path / "export")


def test_a_crash_before_the_manifest_leaves_no_export(covered: Covered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(export_module._Export, "write_tiles", crash)
    with pytest.raises(OSError, match="no space left"):
        covered.export(tmp_path / "export")
    with pytest.raises(ValueError, match="this is no finished export"):
        standalone.verify(tmp_path / "export")


def test_what_is_wrong_in_the_database_is_exported_and_named_by_the_verifier(database_url: str, tmp_path: Path) -> None:
    tree = Covered(database_url, tmp_path)
    sample.fill(database_url)
    tree.append(600)
    with psycopg.connect(database_url) as connection:
        for table in ("entry", "section", "tile"):
            connection.execute(f"alter table ledger.{table} disable trigger user".encode())
        connection.execute(
            "update ledger.section set stored[1] = replace(convert_from(stored[1], 'utf8'), 'sales', 'sails')::bytea where seq = 301"
        )
        connection.execute("delete from ledger.section where seq = 16 and is_personal")
        connection.execute("update ledger.tile set hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) where number = 1")
    tree.export(tmp_path / "export")
    report = standalone.verify(tmp_path / "export")
    assert counts(report) == {"intact": SIZE - 2, "mutated": 1, "missing": 1}
    assert [found["where"] for found in report["findings"]] == ["tile/0/001", "section personal", "sections"]
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from ledger.entry where seq = 400")
    with pytest.raises(LedgerBroken, match="entry 400 is missing"):
        tree.export(tmp_path / "another")
