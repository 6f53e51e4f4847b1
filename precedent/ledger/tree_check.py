"""Checks the stored tree by the entries: its tiles, its checkpoints, and those that witnesses keep outside the database.

Pure. A run of entries is made into the part of the tree that lies over it; the parts are joined, and every head that was signed
must come of them. Where an entry was damaged, the next one says what its leaf was: one fault is not told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from precedent.ledger.handover import KeySpan, key_for
from precedent.ledger.merkle import HASH_BYTES, CompactRange, Node, levels_of
from precedent.ledger.note import Checkpoint, Note
from precedent.ledger.report import Finding, Tally, Verdict
from precedent.ledger.tiles import TILE_HASHES, TILE_LEVELS


class StoredTile(NamedTuple):
    """A row of `ledger.tile`."""

    hashes: bytes
    root: bytes


class StoredCheckpoint(NamedTuple):
    """A row of `ledger.checkpoint`."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What is kept outside the database: signed checkpoints by who keeps them, and which keys signed at which sizes.

    The keys are those of checkpoints of `signed_from` entries and more; older ones were signed by a key that is lost.
    """

    checkpoints: tuple[tuple[str, Checkpoint], ...] = ()
    keys: tuple[KeySpan, ...] = ()
    signed_from: int = 0

    def require_signed(self, note: Note, size: int) -> None:
        """Raises: ValueError where the key that signs trees of `size` entries is known and has not signed this."""
        if self.keys and size >= self.signed_from:
            note.require_signed([key_for(size, self.keys)])


NO_WITNESSES = Witnesses()


@dataclass(slots=True)
class TreePart:
    """What came of a run: the tree over it (None where entries are missing), that over its beginning up to each size that was asked
    for, the tops of its full tiles, and (tile, first entry that differs) of those that are stored otherwise.
    """

    whole: CompactRange | None
    heads: dict[int, CompactRange] = field(default_factory=dict)
    tops: dict[int, bytes] = field(default_factory=dict)
    differing: list[tuple[int, int | None]] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


def part_of_tiles(count: int, tops: dict[int, bytes]) -> TreePart:
    """The part over the first `count` full tiles, by their tops as they are stored."""
    missing = [number for number in range(count) if number not in tops]
    if missing:
        return TreePart(None, tops=tops, missing=missing)
    whole = CompactRange(0, [(Node(TILE_LEVELS, number), tops[number]) for number in range(count)])
    return TreePart(whole, heads={whole.end: whole}, tops=tops)


class TreeScan:
    """Makes the tree over entries from `first` on. Tiles that don't lie wholly in the run are left out."""

    def __init__(self, first: int, sizes: Iterable[int], tiles: Mapping[int, StoredTile], covered: int) -> None:
        """`sizes` are those whose heads are wanted; `tiles` those of level 0 that are stored, as they must be below `covered`."""
        self.part = TreePart(CompactRange(first))
        self._sizes = frozenset(sizes)
        self._tiles = tiles
        self._covered = covered
        self._end = first
        self._block: list[bytes] = []
        self._unsure: bytes | None = None
        self._is_broken = False

    def feed(self, seq: int, envelope: bytes, leaf: bytes, *, is_sure: bool) -> None:
        """The next entry, with its stored leaf; `is_sure` where that is the hash of the envelope, and the envelope in its place."""
        gap = seq - self._end - (self._unsure is not None)
        if self._is_broken or gap < 0:
            return
        said = envelope[50:82]
        if self._unsure is not None:
            self._add(said if is_sure and not gap else self._unsure)
            self._unsure = None
        if gap == 1 and is_sure:
            self._add(said)
        elif gap:
            self._unsure = None
            self._break()
            return
        if is_sure:
            self._add(leaf)
        else:
            self._unsure = leaf

    def finish(self, end: int, next_prev_leaf: bytes | None) -> TreePart:
        """The run ends before entry `end`, which says that it continues `next_prev_leaf`."""
        if self._unsure is not None:
            self._add(next_prev_leaf if next_prev_leaf and self._end + 1 == end else self._unsure)
        if self._end + 1 == end and next_prev_leaf and not self._is_broken:
            self._add(next_prev_leaf)
        if self._end < end:
            self._break()
        self._close_block()
        return self.part

    def _add(self, leaf: bytes) -> None:
        self._block.append(leaf)
        self._end += 1
        if self._end in self._sizes and self.part.whole is not None:
            self.part.heads[self._end] = head = self.part.whole.copy()
            for one in self._block:
                head.append(one)
        if self._end % TILE_HASHES == 0:
            self._close_block()

    def _close_block(self) -> None:
        block, self._block = self._block, []
        whole = self.part.whole
        if whole is None:
            return
        if len(block) < TILE_HASHES:
            for leaf in block:
                whole.append(leaf)
            return
        number = whole.end // TILE_HASHES
        self.part.tops[number] = top = _top_of(block)
        whole.push(Node(TILE_LEVELS, number), top)
        stored = self._tiles.get(number)
        if stored is not None:
            if stored != (b"".join(block), top):
                self.part.differing.append((number, _first_difference(number, block, stored.hashes)))
        elif whole.end <= self._covered:
            self.part.missing.append(number)

    def _break(self) -> None:
        self.part.whole, self._is_broken = None, True


def _first_difference(number: int, leaves: Sequence[bytes], hashes: bytes) -> int | None:
    places = (at for at, leaf in enumerate(leaves) if hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES] != leaf)
    return next((number * TILE_HASHES + at for at in places), None)


def _top_of(hashes: Sequence[bytes]) -> bytes:
    *_, (top,) = levels_of(hashes)
    return top


class TreeCheck:
    """The parts of all runs, in order, as one tree, and what is to be said of it.

    Of each head that was signed, first to last: `judge`; at the end `finish`.
    """

    def __init__(self, origin: str, head: int, parts: Sequence[TreePart], witnesses: Witnesses) -> None:
        """`head` is the number of entries."""
        self.tally = Tally()
        self._origin, self._head, self._parts = origin, head, parts
        self._witnesses = witnesses
        self._befores = list(_befores(parts))
        self._proved = 0
        self._is_forked = self._is_branch_told = False

    def root_at(self, size: int) -> bytes | None:
        """Of the first `size` entries; None where it was not asked for in time, or where entries are missing."""
        for before, part in zip(self._befores, self._parts, strict=True):
            if before is not None and size in part.heads:
                joined = before.copy()
                joined.merge(part.heads[size])
                return joined.root()
        return None

    def judge(self, row: StoredCheckpoint) -> None:
        """One that is stored."""
        said = _read(row.note, self._origin)
        if said is None or said.size != row.size:
            words = (
                "the note is no checkpoint of this chain" if said is None else f"the note says {said.size} entries, the column {row.size}"
            )
            self._add(Verdict.MUTATED, "checkpoint.note" if said is None else "checkpoint.size or checkpoint.note", words)
            return
        if row.size > self._head:
            self._add(Verdict.TRUNCATED, "checkpoint", f"it covers {row.size} entries, and {self._head} stand here")
            return
        root = self.root_at(row.size)
        if root is not None and root not in (row.root, said.root):
            self._note_fork(f"the checkpoint of {row.size} entries", row.size)
        elif row.root != said.root:
            where = "checkpoint.root" if root in (None, said.root) else "checkpoint.note"
            self._add(Verdict.MUTATED, where, f"the checkpoint of {row.size} entries has one root in its column and another in its note")
        elif root is not None:
            self._proved = max(self._proved, row.size)
        try:
            self._witnesses.require_signed(Note.parse(row.note), row.size)
        except ValueError:
            words = f"the key of this ledger that signs {row.size} entries has not signed their checkpoint"
            self._add(Verdict.WRONG_SIGNER, "checkpoint.note", words)

    def judge_witness(self, name: str, checkpoint: Checkpoint) -> None:
        """One that is kept outside the database; its signature was checked by who read it."""
        if checkpoint.size > self._head:
            words = f"it has a signed checkpoint of {checkpoint.size} entries, and {self._head} stand here: the database was taken back"
            self._add(Verdict.TRUNCATED, name, words)
        elif (root := self.root_at(checkpoint.size)) is not None and root != checkpoint.root:
            self._note_fork(f"the signed checkpoint of {checkpoint.size} entries in {name}", checkpoint.size)

    def finish(self, upper: Mapping[tuple[int, int], StoredTile], covered: int, stray: Sequence[tuple[int, int]]) -> Tally:
        """`upper` are the stored tiles above level 0; `stray` (level, number) of tiles that lie beyond what is covered."""
        for part in self._parts:
            for number, seq in part.differing:
                self._judge_tile(number, seq)
            for number in part.missing:
                self._add(Verdict.MISSING, "tile", f"tile 0/{number} is missing")
        tops = {number: top for part in self._parts for number, top in part.tops.items()}
        for level in range(1, (covered.bit_length() - 1) // TILE_LEVELS + 1):
            tops = self._check_level(level, tops, upper, covered)
        for level, number in stray:
            self._add(Verdict.STRAY, "tile", f"no checkpoint covers tile {level}/{number}")
        return self.tally

    def _check_level(
        self, level: int, below: Mapping[int, bytes], upper: Mapping[tuple[int, int], StoredTile], covered: int
    ) -> dict[int, bytes]:
        tops = {}
        for number in range(covered >> TILE_LEVELS * (level + 1)):
            hashes = [below.get(at, b"") for at in range(number * TILE_HASHES, (number + 1) * TILE_HASHES)]
            if not all(hashes):
                continue
            tops[number] = _top_of(hashes)
            stored = upper.get((level, number))
            if stored is None:
                self._add(Verdict.MISSING, "tile", f"tile {level}/{number} is missing")
            elif stored != (b"".join(hashes), tops[number]) and not self._is_forked:
                self._add(Verdict.MUTATED, "tile.hashes or tile.root", f"tile {level}/{number} is not what those below it say")
        return tops

    def _judge_tile(self, number: int, seq: int | None) -> None:
        """Tile or entries: the checkpoints that cover both tell which of them is not what was signed."""
        if seq is not None and self._is_forked and self._proved < (number + 1) * TILE_HASHES:
            if not self._is_branch_told:  # what comes after it is another branch as a whole
                self._is_branch_told = True
                self.tally.count(Verdict.FORKED)
                self.tally.add(Finding(Verdict.FORKED, seq, None, "entry", "it is not the one that stands in the tree"))
            return
        where = "tile.root" if seq is None else "tile.hashes"
        self._add(Verdict.MUTATED, where, f"tile 0/{number} is not what the entries say")

    def _note_fork(self, what: str, size: int) -> None:
        self._is_forked = True
        self._add(Verdict.FORKED, "checkpoint", f"the first {size} entries are not those of {what}")

    def _add(self, verdict: Verdict, where: str, words: str) -> None:
        self.tally.count(verdict)
        self.tally.add(Finding(verdict, None, None, where, words))


def _befores(parts: Sequence[TreePart]) -> Iterator[CompactRange | None]:
    """The tree before each part; None behind entries that are missing."""
    whole: CompactRange | None = CompactRange()
    for part in parts:
        yield whole
        if whole is not None:
            whole = whole.copy() if part.whole is not None else None
        if whole is not None and part.whole is not None:
            whole.merge(part.whole)


def _read(note: str, origin: str) -> Checkpoint | None:
    try:
        checkpoint = Checkpoint.parse(Note.parse(note).text)
    except ValueError:
        return None
    return checkpoint if checkpoint.origin == origin else None
