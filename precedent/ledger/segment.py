"""Checks a run of stored entries by their bytes alone, with the code of `entry.py`: independent of the SQL that wrote them.

Pure. Every row that passes is one comparison after another; only a row that fails is looked at closely, to name the column
at fault. A column is blamed by the witnesses around it: envelope and leaf by the next entry, which repeats the leaf; commits
and sections by the body root.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from precedent.ledger.absence import Absent, erased_by, is_absence
from precedent.ledger.canonical import is_canonical
from precedent.ledger.entry import ENVELOPE, ENVELOPE_BYTES, Kind, Section, body_root_of, commit_of, leaf_of
from precedent.ledger.faults import SECTION_NAMES, finding_of, section_faults
from precedent.ledger.report import Finding, Tally, Verdict
from precedent.ledger.rows import Before, EntryRow, Sections, SectionsRow, witness_of

# What is projected as a state over all entries, and rare.
CONTROL_KINDS = frozenset({Kind.REVIEW, Kind.POLICY, Kind.FLAG, Kind.ERASURE, Kind.KEY, Kind.ASSET})
_KINDS = frozenset(int(kind) for kind in Kind)


@dataclass(slots=True)
class SegmentCheck:
    """The state of one scan. `expected_seq` is the next seq; `before` is None where the entry before can't be a witness.

    `absent` have no verdict yet: that takes the `erasures` of all segments, by `judge_absences`.
    """

    chain_id: UUID
    expected_seq: int
    before: Before | None
    tally: Tally = field(default_factory=Tally)
    damaged: array[int] = field(default_factory=lambda: array("q"))
    control: array[int] = field(default_factory=lambda: array("q"))
    absent: list[Absent] = field(default_factory=list)
    erasures: dict[int, list[int]] = field(default_factory=dict)
    _chain_bytes: bytes = field(init=False)
    _undecided: EntryRow | None = None

    def __post_init__(self) -> None:
        self._chain_bytes = self.chain_id.bytes

    def feed(self, row: EntryRow) -> None:
        """Check the next row in order of seq."""
        seq, entry_id, envelope, leaf, commits, plain, personal = row
        if seq < self.expected_seq:
            self._note_surplus(row)
            return
        if seq > self.expected_seq:
            self._blame(None)
            self._note_missing(self.expected_seq, seq - 1)
            self.before = None
        if len(envelope) != ENVELOPE_BYTES:
            self._blame(None)
            self._explain(row, None)
            return
        version, kind, chain_bytes, own_seq, at_us, own_id, prev_leaf, body_root = ENVELOPE.unpack(envelope)
        own_leaf = leaf_of(envelope)
        before = self.before
        if self._undecided is not None:
            self._blame(prev_leaf)
        sections = _sections_of(plain, personal)
        if (
            version == 1
            and own_seq == seq
            and own_id == entry_id
            and own_leaf == leaf
            and chain_bytes == self._chain_bytes
            and kind in _KINDS
            and (before is None or (at_us > before.recorded_at_us and prev_leaf in before))
            and sections is not None
            and _is_committed(sections, commits, body_root)
        ):
            self.tally.counts[Verdict.INTACT] += 1
            self.before = Before(leaf, leaf, at_us)
            if kind == Kind.ERASURE:
                self.erasures[seq] = erased_by(sections[0][2])
        else:
            self._explain(row, before)
            is_in_place = own_seq == seq and chain_bytes == self._chain_bytes
            self.before = witness_of(leaf, own_leaf, at_us) if is_in_place else None
        if kind in CONTROL_KINDS:
            self.control.append(seq)
        self.expected_seq = seq + 1

    def finish(self, last_seq: int, next_prev_leaf: bytes | None) -> None:
        """Say what is missing up to `last_seq`; `next_prev_leaf` is what the entry after it says of the last one."""
        if self._undecided is not None:
            self._blame(next_prev_leaf)
        if self.expected_seq <= last_seq:
            self._note_missing(self.expected_seq, last_seq)

    def _note_surplus(self, row: EntryRow) -> None:
        """Only where the table's own key and check are gone can there be a row before seq 0, or a second one at a seq."""
        self.tally.count(Verdict.FORKED)
        self.tally.add(finding_of(Verdict.FORKED, row, "entry.seq", f"an entry too many stands at seq {row.seq}"))

    def _note_missing(self, first: int, last: int) -> None:
        count = last - first + 1
        words = f"entry {first} is missing" if count == 1 else f"{count} entries are missing, {first} to {last}"
        self.tally.count(Verdict.MISSING, count)
        self.tally.add(Finding(Verdict.MISSING, first, None, "entry", words))

    def _explain(self, row: EntryRow, before: Before | None) -> None:
        findings = list(self._faults(row, before))
        others = [finding for finding in findings if not is_absence(finding)]
        for finding in others:
            self.tally.add(finding)
        is_broken = len(row.envelope) == ENVELOPE_BYTES and leaf_of(row.envelope) != row.leaf
        if is_broken:
            self._undecided = row  # named when the next entry has spoken
        if len(others) < len(findings):
            self.absent.append(Absent(row.seq, row.entry_id, bool(others) or is_broken))
            if not others and not is_broken:
                return
        self.tally.count(others[0].verdict if others else Verdict.MUTATED)
        self.damaged.append(row.seq)
        if len(row.envelope) != ENVELOPE_BYTES:
            self.before = None
            self.expected_seq = row.seq + 1

    def _faults(self, row: EntryRow, before: Before | None) -> Iterator[Finding]:
        if len(row.envelope) != ENVELOPE_BYTES:
            yield finding_of(Verdict.MUTATED, row, "entry.envelope", f"{len(row.envelope)} bytes instead of {ENVELOPE_BYTES}")
            return
        version, kind, chain_bytes, own_seq, at_us, own_id, prev_leaf, body_root = ENVELOPE.unpack(row.envelope)
        is_authentic = leaf_of(row.envelope) == row.leaf
        if own_seq != row.seq and is_authentic:
            yield finding_of(Verdict.REORDERED, row, "entry.seq", f"this entry was written at seq {own_seq}")
        elif own_seq != row.seq:
            yield finding_of(Verdict.MUTATED, row, "entry.envelope", f"it names seq {own_seq}, the column {row.seq}")
        if own_id != row.entry_id:
            where = "entry.entry_id" if is_authentic else "entry.envelope"
            yield finding_of(Verdict.MUTATED, row, where, f"the envelope names {UUID(bytes=own_id)}, the column {UUID(bytes=row.entry_id)}")
        if version != 1 or kind not in _KINDS:
            yield finding_of(Verdict.MUTATED, row, "entry.envelope", f"no such version or kind: {version}, {kind}")
        if chain_bytes != self._chain_bytes:
            where = "entry.chain_id" if is_authentic else "entry.envelope"
            yield finding_of(Verdict.MUTATED, row, where, f"it was written for chain {UUID(bytes=chain_bytes)}")
        yield from section_faults(row, body_root)
        if before is not None and own_seq == row.seq and is_authentic:
            if prev_leaf not in before:
                yield finding_of(
                    Verdict.FORKED, row, "entry.envelope", f"it continues another entry {row.seq - 1} than the one that stands there"
                )
            if at_us <= before.recorded_at_us:
                yield finding_of(Verdict.REORDERED, row, "entry.envelope", "its time is not after that of the entry before")

    def _blame(self, prev_leaf: bytes | None) -> None:
        """Name the column at fault of an entry whose leaf is not its envelope's hash, by what the next entry says of it."""
        row, self._undecided = self._undecided, None
        if row is None:
            return
        if prev_leaf == row.leaf:
            where, words = "entry.envelope", "it was changed: its hash is neither the leaf nor what the next entry names"
        elif prev_leaf == leaf_of(row.envelope):
            where, words = "entry.leaf", "it was changed: the next entry names the hash of the envelope"
        else:
            where, words = "entry.envelope or entry.leaf", "one was changed: the leaf is not the hash of the envelope"
        self.tally.add(finding_of(Verdict.MUTATED, row, where, words))


def _sections_of(plain: SectionsRow | None, personal: SectionsRow | None) -> Sections | None:
    """(id, salt, stored) in ascending order; None where the rows are not as they must be."""
    if plain is None or not len(plain[0]) == len(plain[1]) == len(plain[2]) or Section.PERSONAL in plain[0]:
        return None
    sections = list(zip(*plain, strict=True))
    if personal is not None:
        if personal[0] != [Section.PERSONAL] or len(personal[1]) != 1 or len(personal[2]) != 1:
            return None
        sections.append((int(Section.PERSONAL), personal[1][0], personal[2][0]))
        sections.sort()
    return sections


def _is_committed(sections: Sections, commits: bytes, body_root: bytes) -> bool:
    """Whether these sections are those that the entry commits to, and canonical."""
    packed = b""
    own = []
    above = 0
    for section_id, salt, stored in sections:
        if (
            section_id <= above
            or section_id not in SECTION_NAMES
            or len(salt) != 32
            or (section_id != Section.PERSONAL and not is_canonical(stored))
        ):
            return False
        above = section_id
        commit = commit_of(section_id, salt, stored)
        own.append(commit)
        packed += bytes((section_id,)) + commit
    return packed == commits and body_root_of(own) == body_root
