"""Whether the record still says what a statement says: its entry, made again from its sections, and the tree under it.

Every envelope is hashed again, from the first entry to the newest checkpoint or to the entry itself: the root of the prefix that
was stated, the root that was signed and the entry's leaf are of one tree, or a finding says which is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import orjson
import psycopg

from precedent.errors import LedgerBroken
from precedent.ledger import tile_store
from precedent.ledger.entry import NO_PREVIOUS, Appended, Envelope, Kind, Section, body_root_of, commit_of, leaf_of
from precedent.ledger.entry_store import read_entries
from precedent.ledger.leaves import check_leaves
from precedent.ledger.merkle import CompactRange, is_included, plan_inclusion, prove
from precedent.ledger.proof import Proof, Signed
from precedent.ledger.rows import EntryRow, SectionsRow
from precedent.ledger.tiles import hashes_in, tiles_for
from precedent.lineage.statement import Statement, statement_of

BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class LedgerWay:
    """The statement's entry, how far a checkpoint covers the chain, and the proof that it covers the entry (None where none does)."""

    leaf: str
    checkpoint_size: int
    proof: str | None
    findings: tuple[str, ...]


def check_record(connection: psycopg.Connection, chain_id: UUID, statement: Statement) -> LedgerWay:
    """Raises: DatabaseUnavailable."""
    signed = Signed(*(tile_store.read_newest_checkpoint(connection, chain_id) or (0, b"", "")))
    rows = list(read_entries(connection, chain_id, statement.seq, statement.seq))
    if not rows or rows[0].plain is None:
        return LedgerWay("", signed.size, None, (f"entry {statement.seq}, which states it, is missing",))
    entry, plain = rows[0], rows[0].plain
    findings = [*_of_entry(entry, plain, statement), *_of_tree(connection, chain_id, statement, signed)]
    proof = None
    if statement.seq < signed.size and not findings:
        proof = _prove(connection, chain_id, Appended(statement.id, entry.seq, entry.envelope, entry.leaf), signed)
        if proof is None:
            findings.append(f"entry {statement.seq} does not prove to be in the signed tree of {signed.size} entries")
    return LedgerWay(entry.leaf.hex(), signed.size, proof, tuple(findings))


def _of_entry(entry: EntryRow, plain: SectionsRow, statement: Statement) -> list[str]:
    """Sections → commitments → body root → envelope → leaf, and the row that was read is what the core says."""
    sections = dict(zip(plain.section_ids, plain.stored, strict=True))
    commits = [commit_of(*parts) for parts in zip(plain.section_ids, plain.salts, plain.stored, strict=True)]
    envelope = Envelope.unpack(entry.envelope)
    told = []
    if (envelope.kind, envelope.body_root) != (Kind.ASSET, body_root_of(commits)) or leaf_of(entry.envelope) != entry.leaf:
        told.append(f"entry {entry.seq} is not what its leaf says")
    try:
        said = statement_of(UUID(bytes=entry.entry_id), entry.seq, statement.recorded_at, orjson.loads(sections[Section.CORE]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        said = None
    if said != statement:
        told.append(f"entry {entry.seq} states something else than its row in asset_statements")
    return told


def _of_tree(connection: psycopg.Connection, chain_id: UUID, statement: Statement, signed: Signed) -> list[str]:
    """One pass over all envelopes up to the checkpoint or the entry, whichever is later."""
    wanted = [(statement.ledger_size, bytes.fromhex(statement.ledger_root), "was stated"), (signed.size, signed.root, "was signed")]
    whole, last, end, told = CompactRange(), NO_PREVIOUS, max(signed.size, statement.seq + 1), list[str]()
    try:
        while whole.end < end:
            block = tile_store.read_leaves(connection, chain_id, whole.end, min(BLOCK, end - whole.end))
            if not block.count:
                return [*told, f"entries from {whole.end} on are missing"]
            for leaf in check_leaves(block, chain_id, whole.end, last):
                whole.append(leaf)
                last = leaf
                told += [
                    f"the first {size} entries do not have the root that {what}"
                    for size, root, what in wanted
                    if size == whole.end and whole.root() != root
                ]
    except LedgerBroken as error:
        told.append(str(error))
    return told


def _prove(connection: psycopg.Connection, chain_id: UUID, place: Appended, signed: Signed) -> str | None:
    plan = plan_inclusion(place.seq, signed.size)
    try:
        path = prove(plan, hashes_in(tile_store.read_tiles(connection, chain_id, tiles_for(plan, signed.size))))
    except LedgerBroken:
        return None
    is_proved = is_included(leaf_of(place.envelope), place.seq, signed.size, path, signed.root)
    return str(Proof(place, tuple(path), signed)) if is_proved else None
