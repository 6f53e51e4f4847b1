"""A partition's rows as one digest, in the format `rows@1`. Pure; `asset_store` has PostgreSQL make the leaves the same way.

field  = 0x00 where it is null, else 0x01 || u32 length || the value's text in UTF-8, as PostgreSQL writes it in UTC, dates as ISO
leaf   = SHA256(0x00 || field_1 … field_n)          columns in the order that the statement names them
digest = the root over the leaves, ascending         RFC 9162, section 2.1.1; of no rows SHA256 of nothing

So the order in which rows are read doesn't matter, and one row can be proved to be among those that were stated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256

from precedent.ledger.merkle import EMPTY_ROOT, CompactRange, Node, fold, plan_inclusion, prove
from precedent.ledger.tiles import split_hashes

FORMAT = "rows@1"


def leaf_of(fields: Sequence[str | None]) -> bytes:
    """Of a row, by the texts of its columns."""
    parts = (b"\x00" if text is None else b"\x01" + len(text.encode()).to_bytes(4) + text.encode() for text in fields)
    return sha256(b"\x00" + b"".join(parts)).digest()


def digest_of(leaves: bytes) -> bytes:
    """Of leaves that stand one behind the other, ascending. 2 µs each."""
    whole = CompactRange()
    for leaf in split_hashes(leaves):
        whole.append(leaf)
    return whole.root()


def digest_of_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Of several partitions' digests, each as a row of two columns, in hex."""
    return digest_of(b"".join(sorted(leaf_of(pair) for pair in pairs))).hex()


def differences(stated: bytes, present: bytes) -> tuple[Counter[bytes], int]:
    """Leaves that are there and were not stated, and how many were stated and are gone."""
    before, now = Counter(split_hashes(stated)), Counter(split_hashes(present))
    return now - before, (before - now).total()


def prove_row(leaves: bytes, leaf: bytes) -> tuple[int, list[bytes]]:
    """The place of a leaf among ascending leaves, and the path to their digest (RFC 9162, 2.1.3.1).

    Raises: ValueError where it is not among them.
    """
    hashes = split_hashes(leaves)
    place = hashes.index(leaf)

    def hash_at(node: Node) -> bytes:
        level = hashes[node.place << node.level : (node.place + 1) << node.level]
        part = CompactRange()
        for found in level:
            part.append(found)
        return fold([found for _, found in part.peaks]) if part.peaks else EMPTY_ROOT

    return place, prove(plan_inclusion(place, len(hashes)), hash_at)
