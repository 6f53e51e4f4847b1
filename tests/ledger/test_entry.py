"""The bytes of an entry against a vector that was computed apart, by concatenation and SHA-256 alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from precedent.clock import SystemClock
from precedent.errors import NotCanonical
from precedent.ledger.entry import Appended, Envelope, Kind, Section, body_root_of, commit_of, draft_entry, leaf_of

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "entry-v1.json"


@pytest.fixture
def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return found


def test_commitments_root_envelope_and_leaf_are_those_of_the_golden_vector(golden: dict[str, Any]) -> None:
    commits = []
    for section in golden["sections"]:
        commits.append(commit_of(section["section_id"], bytes.fromhex(section["salt"]), bytes.fromhex(section["stored"])))
        assert commits[-1].hex() == section["commit"]
    root = body_root_of(commits)
    assert root.hex() == golden["body_root"]
    chain_id, entry_id, prev_leaf = UUID(golden["chain_id"]), UUID(golden["entry_id"]), bytes.fromhex(golden["prev_leaf"])
    envelope = Envelope(golden["kind"], chain_id, golden["seq"], golden["recorded_at_us"], entry_id, prev_leaf, root)
    assert envelope.pack().hex() == golden["envelope"]
    assert Envelope.unpack(envelope.pack()) == envelope
    assert leaf_of(envelope.pack()).hex() == golden["leaf"]


def test_a_receipt_reads_time_and_previous_leaf_from_the_envelope(golden: dict[str, Any]) -> None:
    receipt = Appended(UUID(golden["entry_id"]), golden["seq"], bytes.fromhex(golden["envelope"]), bytes.fromhex(golden["leaf"]))
    assert receipt.recorded_at_us == golden["recorded_at_us"]
    assert receipt.prev_leaf.hex() == golden["prev_leaf"]


@pytest.mark.parametrize("raw", [b"", b"\x01" * 113, b"\x01" * 115, b"\x02" + bytes(113)])
def test_another_length_or_version_is_no_envelope(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not an envelope of version 1"):
        Envelope.unpack(raw)


def test_sections_stand_in_order_with_a_fresh_salt_each() -> None:
    draft = draft_entry(SystemClock(), Kind.EVENT, {Section.SHADOW: {}, Section.CORE: {"b": 1, "a": 2}}, personal=b"sealed")
    assert [section.section_id for section in draft.sections] == [1, 3, 5]
    assert [section.stored for section in draft.sections] == [b'{"a":2,"b":1}', b"sealed", b"{}"]
    assert len({section.salt for section in draft.sections}) == 3
    assert draft.size_bytes == sum(len(section.stored) for section in draft.sections)


def test_a_float_never_enters_a_draft() -> None:
    with pytest.raises(NotCanonical):
        draft_entry(SystemClock(), Kind.EVENT, {Section.CORE: {"ratio": 0.3}})
