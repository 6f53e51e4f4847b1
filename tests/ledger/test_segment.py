"""The checker of stored entries, on rows in memory: whatever is changed, in every field and byte, is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import sample_entries as sample

from precedent.ledger.absence import Absent, judge_absences
from precedent.ledger.canonical import canonical_bytes
from precedent.ledger.entry import NO_PREVIOUS, Draft, Envelope, Kind, Section, body_root_of, commit_of, draft_entry, leaf_of
from precedent.ledger.report import Verdict
from precedent.ledger.rows import GENESIS, EntryRow, SectionsRow
from precedent.ledger.segment import SegmentCheck

CHAIN = UUID(int=7)


def stored(drafts: list[Draft], *, at_us: int = 1_000) -> list[EntryRow]:
    """The rows that an append would leave, made by hand."""
    rows = []
    prev = NO_PREVIOUS
    for seq, draft in enumerate(drafts):
        commits = [commit_of(part.section_id, part.salt, part.stored) for part in draft.sections]
        envelope = Envelope(draft.kind, CHAIN, seq, at_us + seq, draft.entry_id, prev, body_root_of(commits)).pack()
        prev = leaf_of(envelope)
        packed = b"".join(bytes((part.section_id,)) + commit for part, commit in zip(draft.sections, commits, strict=True))
        parts = {is_personal: [part for part in draft.sections if (part.section_id == 3) == is_personal] for is_personal in (False, True)}
        rows.append(EntryRow(seq, draft.entry_id.bytes, envelope, prev, packed, columns(parts[False]), columns(parts[True])))
    return rows


def columns(parts: list[Any]) -> SectionsRow | None:
    return SectionsRow([p.section_id for p in parts], [p.salt for p in parts], [p.stored for p in parts]) if parts else None


def check(rows: list[EntryRow]) -> SegmentCheck:
    done = SegmentCheck(CHAIN, 0, GENESIS)
    for row in rows:
        done.feed(row)
    done.finish(max(row.seq for row in rows), None)
    return done


def some_rows() -> list[EntryRow]:
    return stored([sample.event(1), sample.decision(2), sample.personal_event(3), sample.decision(4, verdict="escalate"), sample.event(5)])


def verdicts(rows: list[EntryRow]) -> dict[str, int]:
    return {verdict.value: number for verdict, number in check(rows).tally.counts.items() if number}


def test_what_was_written_is_intact() -> None:
    assert verdicts(some_rows()) == {"intact": 5}


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field that is no object and no list."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves_of(value[key], (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves_of(item, (*path, number))
    else:
        yield path


def test_a_change_of_any_field_of_any_section_is_found() -> None:
    rows = some_rows()
    tried = 0
    for seq, row in enumerate(rows):
        assert row.plain is not None
        for place, section_id in enumerate(row.plain.section_ids):
            for path in leaves_of(json.loads(row.plain.stored[place])):
                changed = json.loads(row.plain.stored[place])
                holder = changed
                for step in path[:-1]:
                    holder = holder[step]
                holder[path[-1]] = "another" if holder[path[-1]] != "another" else None
                texts = [*row.plain.stored]
                texts[place] = canonical_bytes(changed)
                result = check([*rows[:seq], row._replace(plain=row.plain._replace(stored=texts)), *rows[seq + 1 :]])
                assert result.tally.counts == {Verdict.INTACT: 4, Verdict.MUTATED: 1}, path
                assert [finding.where for finding in result.tally.findings] == [f"section {Section(section_id).name.lower()}"]
                tried += 1
    assert tried > 60


@pytest.mark.parametrize("column", ["entry_id", "envelope", "leaf", "commits"])
def test_a_change_of_any_byte_of_an_entry_is_found_and_its_column_named(column: str) -> None:
    rows = some_rows()
    whole = getattr(rows[2], column)
    for place in range(len(whole)):
        flipped = whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :]
        result = check([*rows[:2], rows[2]._replace(**{column: flipped}), *rows[3:]])
        assert result.tally.counts[Verdict.INTACT] == 4, place
        assert f"entry.{column}" in [finding.where for finding in result.tally.findings], place
        assert list(result.damaged) == [2]


@pytest.mark.parametrize("part", ["plain", "personal"])
def test_a_change_of_any_byte_of_a_section_or_its_salt_is_found(part: str) -> None:
    rows = some_rows()
    sections: SectionsRow = getattr(rows[2], part)
    for column in ("salts", "stored"):
        for which, whole in enumerate(getattr(sections, column)):
            for place in range(len(whole)):
                parts = [*getattr(sections, column)]
                parts[which] = whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :]
                row = rows[2]._replace(**{part: sections._replace(**{column: parts})})
                assert verdicts([*rows[:2], row, *rows[3:]]) == {"intact": 4, "mutated": 1}


def test_an_absent_section_is_missing_and_a_relabelled_one_is_told_from_it() -> None:
    rows = some_rows()
    result = check([*rows[:2], rows[2]._replace(personal=None), *rows[3:]])
    assert result.absent == [Absent(2, rows[2].entry_id, False)]
    judge_absences(result.tally, result.absent, result.erasures)
    assert (result.tally.counts, list(result.damaged)) == ({Verdict.INTACT: 4, Verdict.MISSING: 1}, [])
    assert verdicts([rows[0]._replace(plain=None), *rows[1:]]) == {"intact": 4, "missing": 1}
    plain = rows[1].plain
    assert plain is not None
    result = check([rows[0], rows[1]._replace(plain=plain._replace(section_ids=[1, 2, 5])), *rows[2:]])
    assert [finding.where for finding in result.tally.findings] == ["section.section_ids"]


def erasure(*seqs: int, op: str = "erase") -> Draft:
    core = {"op": op, "subject_id": str(UUID(int=9)), "erased": [[seq, 3] for seq in seqs], "reason": "asked", "principal": "test"}
    return draft_entry(sample.CLOCK, Kind.ERASURE, {Section.CORE: core})


def with_erasure(last: Draft) -> list[EntryRow]:
    """A person's event at seq 1, its personal section gone, and another person's at 2."""
    rows = stored([sample.event(0), sample.personal_event(1), sample.personal_event(2), sample.decision(3), last])
    return [rows[0], rows[1]._replace(personal=None), *rows[2:]]


def judged(rows: list[EntryRow]) -> tuple[dict[str, int], list[str], dict[int, int]]:
    """Counts, what was told in words, and what is listed but not absent."""
    result = check(rows)
    left = judge_absences(result.tally, result.absent, result.erasures)
    told = [str(finding) for finding in (*result.tally.findings, *result.tally.lawful)]
    return {verdict.value: number for verdict, number in result.tally.counts.items() if number}, told, left


def test_what_a_later_erasure_lists_was_erased_lawfully_and_anything_else_is_missing() -> None:
    rows = with_erasure(erasure(1))
    name = UUID(bytes=rows[1].entry_id)
    counts = {"intact": 4, "erased": 1}
    assert judged(rows) == (counts, [f"seq 1 ({name}) erased: section personal: erased lawfully by entry 4"], {})
    for last in (erasure(), erasure(0, 2), erasure(1, op="hold"), sample.event(4)):
        assert judged(with_erasure(last))[0] == {"intact": 4, "missing": 1}
    first = stored([erasure(1), sample.personal_event(1)])
    assert judged([first[0], first[1]._replace(personal=None)])[0] == {"intact": 1, "missing": 1}, "an erasure lists what stands before it"


def test_an_erasure_that_was_changed_makes_nothing_lawful() -> None:
    rows = with_erasure(erasure(0))
    listing = erasure(1).sections[0].stored
    assert rows[4].plain is not None
    forged = rows[4]._replace(plain=rows[4].plain._replace(stored=[listing]))
    assert judged([*rows[:4], forged])[0] == {"intact": 3, "mutated": 1, "missing": 1}


def test_an_erased_entry_answers_for_all_else_that_is_wrong_with_it() -> None:
    for part, section_id in enumerate((1, 2, 4)):
        decision = draft_entry(
            sample.CLOCK,
            Kind.DECISION,
            {Section.CORE: {"a": 1}, Section.FACTS: {"b": 1}, Section.MEMORY: {"c": 1}},
            personal=b"sealed",
        )
        rows = stored([decision, erasure(0)])
        plain = rows[0].plain
        assert plain is not None
        texts = [*plain.stored]
        texts[part] = b'{"a":2}'
        counts, told, _ = judged([rows[0]._replace(personal=None, plain=plain._replace(stored=texts)), rows[1]])
        assert counts == {"intact": 1, "mutated": 1}, section_id
        assert len(told) == 2
    twice = rows[0]._replace(personal=None, commits=rows[0].commits + rows[0].commits[:33])
    assert judged([twice, rows[1]])[0] == {"intact": 1, "mutated": 1}


def test_what_an_erasure_lists_and_still_stands_is_left_over() -> None:
    counts, _, left = judged(with_erasure(erasure(1, 2)))
    assert (counts, left) == ({"intact": 4, "erased": 1}, {2: 4})


def test_an_entry_that_was_never_appended_does_not_fit_anywhere() -> None:
    rows, others = some_rows(), some_rows()
    assert verdicts([*rows[:2], others[2], *rows[3:]])["forked"] == 2


def test_time_that_does_not_increase_is_found() -> None:
    drafts = [sample.event(1), sample.event(2)]
    rows = stored(drafts)
    second = replace(Envelope.unpack(rows[1].envelope), recorded_at_us=1_000).pack()
    assert verdicts([rows[0], rows[1]._replace(envelope=second, leaf=leaf_of(second))]) == {"intact": 1, "reordered": 1}


def test_rewriting_the_last_entry_with_all_its_hashes_is_beyond_this_check() -> None:
    """Said in the docs: only a witness outside can tell. A test, so that the sentence goes when checkpoints come."""
    rows = some_rows()
    replacement = stored([sample.event(9)])[0]
    last = replace(Envelope.unpack(replacement.envelope), seq=4, prev_leaf=rows[3].leaf, recorded_at_us=5_000).pack()
    assert verdicts([*rows[:4], replacement._replace(seq=4, envelope=last, leaf=leaf_of(last))]) == {"intact": 5}


def test_a_wide_gap_costs_one_finding() -> None:
    rows = some_rows()
    result = check([rows[0], rows[4]])
    assert result.tally.counts[Verdict.MISSING] == 3
    assert [finding.words for finding in result.tally.findings] == ["3 entries are missing, 1 to 3"]


def test_a_second_entry_at_one_place_is_counted_even_when_it_is_a_copy() -> None:
    """Where the table's own key was dropped."""
    rows = some_rows()
    result = check([*rows[:3], rows[2], *rows[3:]])
    assert result.tally.counts == {Verdict.INTACT: 5, Verdict.FORKED: 1}
    assert [finding.where for finding in result.tally.findings] == ["entry.seq"]
    assert verdicts([rows[0]._replace(seq=-1), *rows]) == {"intact": 5, "forked": 1}
