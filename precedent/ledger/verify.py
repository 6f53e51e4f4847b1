"""Verification of a chain in its database: every stored byte of every entry, then every row that was derived from them.

The entries are checked by `segment.py`, by their bytes alone. The projections are compared with the entries in SQL. Segments of
65,536 entries are spread over processes, each in one snapshot of its own. The head is read first and nothing beyond it is
judged, so that this runs beside writers.

The tree is made again from the entries, by `tree_check.py`, and compared with the stored tiles and checkpoints, and with those that
witnesses keep outside the database. Without a witness no check here finds entries cut off at the end together with all that was derived
from them, nor a rewriting of the last entries with their hashes, projections, tiles and checkpoints.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import psycopg

from precedent.db.engine import connect, with_options
from precedent.ledger import entry_store, projection_store, stray_store, tile_store
from precedent.ledger.absence import Absent, judge_absences
from precedent.ledger.integrate import origin_of
from precedent.ledger.note import Checkpoint
from precedent.ledger.projection_store import Difference, Projection
from precedent.ledger.report import Finding, Report, Tally, Verdict
from precedent.ledger.rows import GENESIS, Before
from precedent.ledger.segment import CONTROL_KINDS, SegmentCheck
from precedent.ledger.store import chain_id_of
from precedent.ledger.tiles import TILE_HASHES
from precedent.ledger.tree_check import NO_WITNESSES, StoredCheckpoint, StoredTile, TreeCheck, TreePart, TreeScan, Witnesses, part_of_tiles

# A multiple of 256: a tile lies in one segment.
SEGMENT_ENTRIES = 65_536
SINCE = "--since"
LOWEST, HIGHEST = -(2**63), 2**63 - 1
# Beyond this the record is a ruin, and what was derived from it says nothing more.
MAX_DAMAGED = 100_000


@dataclass(frozen=True, slots=True)
class Span:
    """Entries `first` … `last` of a chain. The first and the last span also look at rows beyond both ends.

    Checkpoints cover the first `covered` entries; `sizes` are those of witnesses.
    """

    chain_id: UUID
    first: int
    last: int
    is_last: bool
    covered: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def from_seq(self) -> int:
        return LOWEST if self.first == 0 else self.first

    @property
    def to_seq(self) -> int:
        return HIGHEST if self.is_last else self.last + 1


@dataclass(slots=True)
class Scanned:
    """What came of entries that were scanned; `control` are the seqs of those that make up states over all entries."""

    tally: Tally
    control: array[int] = field(default_factory=lambda: array("q"))
    damaged: array[int] = field(default_factory=lambda: array("q"))
    absent: list[Absent] = field(default_factory=list)
    erasures: dict[int, list[int]] = field(default_factory=dict)
    parts: list[TreePart] = field(default_factory=list)
    entry_seconds: float = 0.0
    projection_seconds: float = 0.0


def verify_database(
    url: str,
    *,
    chain: str = "main",
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    witnesses: Witnesses = NO_WITNESSES,
    since: Checkpoint | None = None,
) -> Report:
    """What is wrong with a chain and its projections; `on_progress` hears (entries done, entries in all).

    What `witnesses` say was read before: what they have signed has to stand here. With `since`, a checkpoint that is trusted, entries
    before it are not read again, nor their projections: the tree has to begin with it.

    `url` is that of an administrator or of the owner: it reads every table. `processes` is by default one a core.

    Raises: DatabaseUnavailable; SettingsInvalid where no chain has that name.
    """
    started = time.perf_counter()
    url = with_options(url, default_transaction_read_only="on")
    with _snapshot(url) as connection:
        chain_id = chain_id_of(connection, chain)
        head, leaf = entry_store.read_head(connection, chain_id) or (-1, b"")
        covered = max(tile_store.checkpoint_sizes(connection, chain_id, 1, head + 1), default=0)
        newest = tile_store.read_newest_checkpoint(connection, chain_id)
        if since is not None:
            witnesses = replace(witnesses, checkpoints=(*witnesses.checkpoints, (SINCE, since)))
        begin = min(since.size if since else 0, head + 1) // TILE_HASHES * TILE_HASHES
        older = _older(connection, chain_id, begin)
        sizes = tuple(checkpoint.size for _, checkpoint in witnesses.checkpoints)
        spans = [replace(span, covered=covered, sizes=sizes) for span in _plan(connection, chain_id, begin, head)]
    whole = _gather([*older, *_scan_in_order(url, spans, processes, on_progress)])
    with _snapshot(url) as connection:
        began = time.perf_counter()
        _judge_erasures(connection, chain_id, whole)
        whole.tally.merge(_check_tree(connection, chain_id, head + 1, covered, whole.parts, witnesses, begin))
        whole.tally.merge(_check_whole(connection, chain_id, head, whole.control, whole.damaged))
        whole.projection_seconds += time.perf_counter() - began
    return Report(
        chain=chain,
        size=head + 1,
        head_leaf_hex=leaf.hex(),
        counts={verdict.value: whole.tally.counts[verdict] for verdict in Verdict},
        findings=tuple(whole.tally.findings),
        left_out=whole.tally.left_out,
        seconds=time.perf_counter() - started,
        timings={"entries": whole.entry_seconds, "projections": whole.projection_seconds},
        lawful=tuple(whole.tally.lawful),
        covered=covered,
        witnesses=tuple(name for name, _ in witnesses.checkpoints),
        checkpoint=newest[2] if newest and newest[0] == covered else "",
        since=begin,
    )


def _older(connection: psycopg.Connection, chain_id: UUID, begin: int) -> list[Scanned]:
    """What stands before `begin`, a multiple of 256, by its tiles: whether they are what was signed is told by the checkpoint there."""
    if not begin:
        return []
    tops = {number: root for number, _, root in tile_store.read_leaf_tiles(connection, chain_id, 0, begin // TILE_HASHES - 1)}
    control = tile_store.read_seqs_of_kinds(connection, chain_id, begin, sorted(CONTROL_KINDS))
    return [Scanned(Tally(), array("q", control), parts=[part_of_tiles(begin // TILE_HASHES, tops)])]


def _gather(results: Sequence[Scanned]) -> Scanned:
    """What came of all spans, in their order."""
    whole = Scanned(Tally())
    for scanned in results:
        whole.tally.merge(scanned.tally)
        whole.control += scanned.control
        whole.damaged += scanned.damaged
        whole.absent += scanned.absent
        whole.erasures |= scanned.erasures
        whole.parts += scanned.parts
        whole.entry_seconds += scanned.entry_seconds
        whole.projection_seconds += scanned.projection_seconds
    return whole


def _snapshot(url: str) -> psycopg.Connection:
    """A connection whose every statement sees the same."""
    connection = connect(url)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return connection


def _plan(connection: psycopg.Connection, chain_id: UUID, first: int, head: int) -> Iterator[Span]:
    """Spans that cover `first` … `head`. They follow the rows that exist: a seq moved far away makes one wide gap, not a million spans."""
    if head < 0:
        yield Span(chain_id, 0, -1, is_last=True)
    while first <= head:
        found = entry_store.first_seq_from(connection, chain_id, first)
        last = min((max(found, first) // SEGMENT_ENTRIES + 1) * SEGMENT_ENTRIES - 1, head)
        yield Span(chain_id, first, last, is_last=last == head)
        first = last + 1


def _scan_in_order(url: str, spans: Sequence[Span], processes: int | None, on_progress: Callable[[int, int], None] | None) -> list[Scanned]:
    done, total = 0, sum(span.last - span.first + 1 for span in spans)
    results: dict[int, Scanned] = {}
    for span, scanned in _scan_all(url, spans, min(processes or os.cpu_count() or 1, len(spans))):
        results[span.first] = scanned
        done += span.last - span.first + 1
        if on_progress:
            on_progress(done, total)
    return [results[first] for first in sorted(results)]


def _scan_all(url: str, spans: Sequence[Span], workers: int) -> Iterator[tuple[Span, Scanned]]:
    """Each span with what came of it, as they are done."""
    if workers <= 1:
        for span in spans:
            yield span, scan(url, span)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending = {pool.submit(scan, url, span): span for span in spans}
        for future in as_completed(pending):
            yield pending[future], future.result()


def scan(url: str, span: Span) -> Scanned:
    """The checks of one span, in one snapshot. Memory is that of one row; a process of its own may run it."""
    with _snapshot(url) as connection:
        began = time.perf_counter()
        check = SegmentCheck(span.chain_id, span.first, _before(connection, span))
        tree = _tree_scan(connection, span)
        for row in entry_store.read_entries(connection, span.chain_id, span.from_seq, span.last):
            check.feed(row)
            before = check.before
            tree.feed(row.seq, row.envelope, row.leaf, is_sure=before is not None and before.stored_leaf == before.leaf)
        prev_leaf = entry_store.prev_leaf_at(connection, span.chain_id, span.last + 1)
        check.finish(span.last, prev_leaf)
        part = tree.finish(span.last + 1, prev_leaf)
        for seq, is_personal, total in stray_store.stray_sections(connection, span.chain_id, span.from_seq, span.to_seq):
            words = f"a {'personal' if is_personal else 'plain'} row without an entry ({total} such rows)"
            _note(check.tally, Verdict.STRAY, "section", words, seq=seq)
        entries_done = time.perf_counter()
        for projection in projection_store.PER_ENTRY:
            compare = partial(projection_store.compare_segment, connection, projection, span.chain_id, span.first, span.last, check.damaged)
            _judge(connection, check.tally, projection.table, compare)
        for table in ("events", "decisions"):
            find = partial(projection_store.find_extra, connection, table, span.chain_id, span.from_seq, span.to_seq, check.damaged)
            _judge(connection, check.tally, table, find)
        ended = time.perf_counter()
    timings = (entries_done - began, ended - entries_done)
    return Scanned(check.tally, check.control, check.damaged, check.absent, check.erasures, [part], *timings)


def _tree_scan(connection: psycopg.Connection, span: Span) -> TreeScan:
    sizes = tile_store.checkpoint_sizes(connection, span.chain_id, span.first + 1, min(span.last + 1, span.covered))
    rows = tile_store.read_leaf_tiles(connection, span.chain_id, span.first // TILE_HASHES, span.last // TILE_HASHES)
    return TreeScan(span.first, {*sizes, *span.sizes}, {number: StoredTile(hashes, root) for number, hashes, root in rows}, span.covered)


def _before(connection: psycopg.Connection, span: Span) -> Before | None:
    return GENESIS if span.first == 0 else entry_store.before_at(connection, span.chain_id, span.first - 1)


def _judge_erasures(connection: psycopg.Connection, chain_id: UUID, whole: Scanned) -> None:
    """Which absent personal sections were erased lawfully, and which erased ones stand there again."""
    left = judge_absences(whole.tally, whole.absent, whole.erasures)
    for seq in stray_store.personal_sections(connection, chain_id, list(left)):
        _note(whole.tally, Verdict.STRAY, "section personal", f"it stands there, though entry {left[seq]} erased it", seq=seq)


def _check_tree(
    connection: psycopg.Connection, chain_id: UUID, size: int, covered: int, parts: Sequence[TreePart], witnesses: Witnesses, begin: int
) -> Tally:
    """What was signed, against the tree over all `size` entries; checkpoints of fewer than `begin` are not judged."""
    check = TreeCheck(origin_of(chain_id), size, parts, witnesses)
    last_seq, _ = entry_store.read_head(connection, chain_id) or (-1, b"")
    for row in map(StoredCheckpoint._make, tile_store.read_checkpoints(connection, chain_id)):
        # Beside an integrator there are newer ones by now, of entries that were not read.
        if begin < row.size <= covered or row.size > last_seq + 1:
            check.judge(row)
    for name, checkpoint in witnesses.checkpoints:
        check.judge_witness(name, checkpoint)
    upper = {(level, number): StoredTile(hashes, root) for level, number, hashes, root in tile_store.read_upper_tiles(connection, chain_id)}
    return check.finish(upper, covered, tile_store.uncovered_tiles(connection, chain_id))


def _check_whole(connection: psycopg.Connection, chain_id: UUID, head: int, control: Sequence[int], damaged: Sequence[int]) -> Tally:
    """What can only be seen over all entries, and what stands where nothing should."""
    tally = Tally()
    if len(damaged) > MAX_DAMAGED:
        _note(tally, Verdict.PROJECTION_WRONG, "projections", f"not compared: {len(damaged)} entries are damaged")
        return tally
    for projection in projection_store.OVER_ALL:
        _judge(connection, tally, projection.table, partial(_compare_state, connection, projection, chain_id, head, control, damaged))
    _judge(connection, tally, "reviews", partial(projection_store.find_extra_reviews, connection, chain_id, damaged))
    for table, stray in stray_store.stray_chains(connection):
        _note(tally, Verdict.STRAY, f"{table}.chain_id", f"rows of a chain that does not exist: {stray}")
    for subject_id, is_key, _ in stray_store.stray_subjects(connection, chain_id):
        where, lacking = ("subject_key", "mapping") if is_key else ("subjects", "key")
        _note(tally, Verdict.STRAY, f"{where}.subject_id", f"subject {subject_id} has no {lacking}")
    tally.count(Verdict.PROJECTION_CHECKED, projection_store.count_rows(connection, chain_id))
    return tally


def _compare_state(
    connection: psycopg.Connection, projection: Projection, chain_id: UUID, head: int, control: Sequence[int], damaged: Sequence[int]
) -> list[Difference]:
    """A state is the sum of all entries: leaving a damaged one out would blame the state. It counts as it stands, if it can be read."""
    try:
        with connection.transaction():
            return projection_store.compare_all(connection, projection, chain_id, head, control, ())
    except psycopg.DataError:
        return projection_store.compare_all(connection, projection, chain_id, head, control, damaged)


def _note(tally: Tally, verdict: Verdict, where: str, words: str, *, seq: int | None = None) -> None:
    tally.count(verdict)
    tally.add(Finding(verdict, seq, None, where, words))


def _judge(connection: psycopg.Connection, tally: Tally, table: str, find: Callable[[], list[Difference]]) -> None:
    """Count and word differences. What the entries say may be no row at all: then that is the finding."""
    try:
        with connection.transaction():
            differences = find()
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.RaiseException) as error:
        _note(tally, Verdict.PROJECTION_WRONG, table, f"couldn't be compared: {str(error).splitlines()[0]}")
        return
    for difference in differences:
        verdict, findings = _word(difference)
        tally.count(verdict)
        for finding in findings:
            tally.add(finding)
    if differences and (beyond := differences[0].total - len(differences)) > 0:
        tally.count(Verdict.PROJECTION_WRONG, beyond)
        tally.left_out += beyond


def _word(difference: Difference) -> tuple[Verdict, list[Finding]]:
    table = difference.table
    row = difference.expected or difference.found or {}
    seq, entry_id = row.get("seq"), row.get("id") or row.get("decision_id") or row.get("entry_id")
    name = entry_id or " ".join(str(row[key]) for key in ("experiment", "variant", "node", "action") if key in row) or "the chain"
    if difference.found is None:
        return Verdict.PROJECTION_MISSING, [
            Finding(Verdict.PROJECTION_MISSING, seq, entry_id, table, f"the row of {name} is missing, the entries say there is one")
        ]
    if difference.expected is None:
        return Verdict.PROJECTION_EXTRA, [Finding(Verdict.PROJECTION_EXTRA, seq, entry_id, table, f"the row of {name} stands for no entry")]
    return Verdict.PROJECTION_WRONG, [
        Finding(
            Verdict.PROJECTION_WRONG, seq, entry_id, f"{table}.{column}",
            f"{table}.{column} of {name} is {_shown(difference.found[column])}, the entry says {_shown(difference.expected[column])}",
        )
        for column in difference.columns
    ]  # fmt: skip


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…'"
