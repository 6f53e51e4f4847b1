"""Leaves made again from stored envelopes: what the integrator believes of the entries, and all that it believes.

Pure. A block is read as two byte strings instead of row by row, and checked column by column: 0.5 µs a leaf instead of 5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from precedent.errors import LedgerBroken
from precedent.ledger.entry import ENVELOPE_BYTES
from precedent.ledger.merkle import HASH_BYTES

# Hashed between two chances for other threads: a quarter of a millisecond.
STRIDE = 512
_WHOLE = struct.Struct(f"{ENVELOPE_BYTES}s")
# Of an envelope: chain, seq, and the leaf before.
_LINKS = struct.Struct(">2x16sQ24x32s32x")
NOT_INTEGRATED = "is not integrated: it is missing, was changed, or does not continue the one before"


@dataclass(frozen=True, slots=True)
class LeafBlock:
    """Entries in order of seq: how many, the highest seq, and their envelopes and stored leaves, one behind the other."""

    count: int
    highest: int
    envelopes: bytes = field(repr=False)
    leaves: bytes = field(repr=False)


def check_leaves(block: LeafBlock, chain_id: UUID, first: int, last_leaf: bytes, between: Callable[[], object] = bool) -> list[bytes]:
    """The leaves of entries `first`, `first` + 1, …, each made again from its envelope; `last_leaf` is that before `first`.

    `between` is called every `STRIDE` leaves: a caller in a thread lets others run there.

    Raises: LedgerBroken where one is missing, is not the hash of its envelope, or does not continue the one before.
    """
    if len(block.envelopes) != block.count * ENVELOPE_BYTES or len(block.leaves) != block.count * HASH_BYTES:
        raise LedgerBroken(f"entries from {first} on are not integrated: one has another length")
    leaves: list[bytes] = []
    # Stride by stride, so that what is compared is still in the processor's cache.
    for start in range(0, block.count, STRIDE):
        envelopes = block.envelopes[start * ENVELOPE_BYTES : (start + STRIDE) * ENVELOPE_BYTES]
        made = [sha256(b"\x00" + envelope).digest() for (envelope,) in _WHOLE.iter_unpack(envelopes)]
        chains, seqs, befores = zip(*_LINKS.iter_unpack(envelopes), strict=True)
        stored = block.leaves[start * HASH_BYTES : (start + STRIDE) * HASH_BYTES]
        is_right = (
            b"".join(made) == stored
            and list(befores) == [last_leaf, *made[:-1]]
            and seqs == tuple(range(first + start, first + start + len(made)))
            and chains.count(chain_id.bytes) == len(made)
        )
        if not is_right:
            wanted = zip([chain_id.bytes] * len(made), range(first + start, first + block.count), [last_leaf, *made], made, strict=False)
            found = zip(chains, seqs, befores, [stored[n : n + HASH_BYTES] for n in range(0, len(stored), HASH_BYTES)], strict=True)
            number = next(one[1] for one, other in zip(wanted, found, strict=True) if one != other)
            raise LedgerBroken(f"entry {number} {NOT_INTEGRATED}")
        leaves += made
        last_leaf = made[-1]
        between()
    if block.count and block.highest != first + block.count - 1:
        raise LedgerBroken(f"entry {block.highest} {NOT_INTEGRATED}")
    return leaves
