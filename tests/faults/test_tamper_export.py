"""The tamper gym on exports: whatever can be done to a section of an entry of any kind is done to it in an export whose manifest
was made to fit, and the verifier that travels in it must name that entry and no other.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from every_kind import ENTRIES, first_of_each, plant
from test_tamper_sections import Sections, sections_bent

from precedent.ledger.entry import Kind, Section
from precedent.ledger.standalone import verify as standalone


@dataclass(frozen=True, slots=True)
class Export:
    """A folder, where an entry of each kind stands in it, and what a personal section was erased from."""

    folder: Path
    seqs: dict[Kind, int]

    def bundle(self, seq: int) -> Path:
        (path,) = (self.folder / "sections").glob(f"{seq // 256:03}.ndjson.gz")
        return path

    def read(self, seq: int) -> Sections:
        lines = iter(gzip.decompress(self.bundle(seq).read_bytes()).split(b"\n")[:-1])
        for line in lines:
            head = json.loads(line)
            stored = [next(lines) for _ in head["sections"]]
            if head["seq"] == seq:
                parts = zip(head["sections"], head["salts"], stored, strict=True)
                return {number: (b64decode(salt), unpack(number, text)) for number, salt, text in parts}
        raise AssertionError(seq)

    def write(self, seq: int, sections: Sections) -> None:
        """These sections in place of those of the entry, and a manifest that fits."""
        path, made = self.bundle(seq), list[bytes]()
        lines = iter(gzip.decompress(path.read_bytes()).split(b"\n")[:-1])
        for line in lines:
            head: dict[str, Any] = json.loads(line)
            stored = [next(lines) for _ in head["sections"]]
            if head["seq"] == seq:
                head |= {"sections": list(sections), "salts": [b64encode(salt).decode() for salt, _ in sections.values()]}
                stored = [b'"%s"' % b64encode(text) if number == Section.PERSONAL else text for number, (_, text) in sections.items()]
            made += [json.dumps(head).encode(), *stored]
        path.write_bytes(gzip.compress(b"\n".join(made) + b"\n", compresslevel=1, mtime=0))
        self.fit_manifest(path)

    def fit_manifest(self, path: Path) -> None:
        manifest = self.folder / "manifest.ndjson"
        said = json.loads(manifest.read_bytes().splitlines()[0])
        said["files"][str(path.relative_to(self.folder))] = standalone.sha256(path.read_bytes()).hexdigest()
        line = json.dumps(said).encode()
        manifest.write_bytes(line + b'\n"%s"\n' % standalone.sha256(line).hexdigest().encode())


def unpack(number: int, text: bytes) -> bytes:
    return b64decode(json.loads(text)) if number == Section.PERSONAL else text


@pytest.fixture(scope="module")
def whole(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Export:
    covered = plant(module_database_url, tmp_path_factory.mktemp("witnesses"))
    folder = tmp_path_factory.mktemp("whole") / "export"
    covered.export(folder)
    report = standalone.verify(folder)
    assert (report["is_intact"], report["counts"]["erased"]) == (True, 1), report
    seqs = first_of_each(module_database_url)
    assert set(seqs) == set(Kind)
    return Export(folder, seqs)


@pytest.fixture
def export(whole: Export) -> Iterator[Export]:
    """What is changed in sections is put back."""
    paths = [*(whole.folder / "sections").iterdir(), whole.folder / "manifest.ndjson"]
    kept = {path: path.read_bytes() for path in paths}
    yield whole
    for path, raw in kept.items():
        path.write_bytes(raw)


def is_named(export: Export, seq: int, verdict: str) -> bool:
    """An erasure that doesn't hold makes nothing lawful: what it erased is missing then."""
    report = standalone.verify(export.folder)
    named = {(found["seq"], found["to"], found["verdict"]) for found in report["findings"] if "seq" in found}
    counts = report["counts"]
    is_erasure = seq == export.seqs[Kind.ERASURE]
    others = {one for one in named if one[2] == "missing" and one[0] != seq} if is_erasure else set()
    return (
        named - others == {(seq, seq, verdict)}
        and len(others) == is_erasure
        and counts["intact"] + counts["erased"] == ENTRIES - len(named)
    )


def unnamed(export: Export, kind: Kind, wanted: str = "") -> list[str]:
    """What was done to the entry of a kind and not named."""
    seq = export.seqs[kind]
    kept, missed, tried = export.read(seq), [], 0
    for words, sections in sections_bent(kept):
        if wanted not in words or any(b"\n" in text for number, (_, text) in sections.items() if number != Section.PERSONAL):
            continue
        tried += 1
        export.write(seq, sections)
        if not is_named(export, seq, "mutated"):
            missed.append(words)
    assert tried
    export.write(seq, kept)
    return missed


@pytest.mark.parametrize("wanted", ["change result.verdict", "delete result.verdict", "reorder ", "byte 0 of its salt", "salts swapped"])
def test_a_changed_section_is_named(export: Export, wanted: str) -> None:
    assert unnamed(export, Kind.DECISION, wanted) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", list(Kind))
def test_every_change_of_every_field_of_every_section_is_named(export: Export, kind: Kind) -> None:
    assert unnamed(export, kind) == []
