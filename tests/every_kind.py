"""A ledger with an entry of every kind and a section of every name, each appended under the role that may, covered by checkpoints."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import orjson
import psycopg
import sample_entries as sample
from exporting import Covered

from precedent.db.engine import API, OWNER, PIPELINE, connect
from precedent.ledger.entry import Appended, Draft, Kind, NewSubject, Section, draft_entry
from precedent.ledger.keyring import seal
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append

# One full tile and some leaves beyond it.
ENTRIES = 270
# Events at the end, with nothing derived from them but their own rows.
TAIL = 3
ROLES = {Kind.PROMOTION: PIPELINE, Kind.ASSET: PIPELINE, Kind.RECOVERY: OWNER}


def fill_with_every_kind(url: str) -> None:
    """Of each kind, of each section and of each projection something: some sixty entries."""
    sample.fill(url)
    sample.govern(url)
    decided = append_as(url, _full_decision())
    for draft in _others(decided.entry_id):
        append_as(url, draft)
    sample.review_all(url)
    sample.append_all(url, [sample.event(900 + number) for number in range(TAIL)])


def plant(url: str, folder: Path) -> Covered:
    """The same with a full tile and more than one checkpoint; `folder` takes the signer's memory and the anchor."""
    covered = Covered(url, folder)
    fill_with_every_kind(url)
    covered.integrate()
    sample.append_all(url, [sample.event(1000 + number) for number in range(ENTRIES - size_of(url))])
    covered.integrate()
    return covered


def size_of(url: str) -> int:
    with connect(url) as connection:
        (size,) = connection.execute("select count(*) from ledger.entry").fetchone() or (0,)
    return int(size)


def append_as(url: str, draft: Draft) -> Appended:
    """Append one entry under the role that may append its kind."""
    with connect(url, ROLES.get(draft.kind, API)) as connection:
        (answer,) = append(connection, chain_id_of(connection, "main"), [draft])
    assert isinstance(answer, Appended), answer
    return answer


def _full_decision() -> Draft:
    """One with all five sections."""
    data_key, entry_id = os.urandom(32), sample.CLOCK.new_id()
    subject = NewSubject(uuid.uuid4(), sample.KEYRING.lookup_hash("customer", "everybody"), *sample.KEYRING.wrap(data_key))
    core = _core_of(sample.decision(500, verdict="escalate"))
    core["subject_id"] = str(subject.subject_id)
    sections: dict[Section, object] = {
        Section.CORE: core,
        Section.FACTS: {"facts": {"deal_value": 5, "requested_discount_pct": 800, "tags": ["a", "b"]}},
        Section.MEMORY: {"features": {"approvals_30d": 3}},
        Section.SHADOW: {
            "candidates": [{"policy": "finance-constitution@1.1.0", "verdict": "deny"}, {"policy": "x@1.0.0", "verdict": "approve"}]
        },
    }
    personal = seal(data_key, entry_id, b'{"name":"A. Person"}', os.urandom(12))
    return draft_entry(sample.CLOCK, Kind.DECISION, sections, entry_id=entry_id, personal=personal, subject=subject)


def _core_of(draft: Draft) -> dict[str, Any]:
    return dict(orjson.loads(draft.sections[0].stored))


def _others(decision_id: uuid.UUID) -> list[Draft]:
    """One of each kind that the samples leave out."""
    said: dict[str, object] = {"principal": "test", "reason": "a reason", "listed": [1, 2, None, True], "decision_id": str(decision_id)}
    kinds = (Kind.PROMOTION, Kind.ASSET, Kind.RECOVERY)
    return [draft_entry(sample.CLOCK, kind, {Section.CORE: {"op": "sample", **said}, Section.FACTS: {"n": 1}}) for kind in kinds]


def first_of_each(url: str) -> dict[Kind, int]:
    """The seq of an entry of each kind, the one that has the most sections still."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            select distinct on (kind) get_byte(e.envelope, 1) as kind, e.seq
            from ledger.entry e
            join (select seq, sum(cardinality(section_ids)) as count from ledger.section group by seq) s using (seq)
            order by kind, s.count desc, e.seq
            """
        ).fetchall()
    return {Kind(kind): seq for kind, seq in rows}
