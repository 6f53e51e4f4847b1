"""Rows of the record as verification reads them, and what one says of the next."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from precedent.ledger.entry import NO_PREVIOUS

Sections: TypeAlias = list[tuple[int, bytes, bytes]]  # (section id, salt, stored bytes)


class SectionsRow(NamedTuple):
    """One row of `ledger.section`."""

    section_ids: list[int]
    salts: list[bytes]
    stored: list[bytes]


class EntryRow(NamedTuple):
    """One row of `ledger.entry` with its rows of `ledger.section`."""

    seq: int
    entry_id: bytes
    envelope: bytes
    leaf: bytes
    commits: bytes
    plain: SectionsRow | None
    personal: SectionsRow | None


class Before(NamedTuple):
    """What an entry must continue: the leaf of the one before as it is stored and as its envelope says, and its time."""

    stored_leaf: bytes
    leaf: bytes
    recorded_at_us: int


def witness_of(stored_leaf: bytes, leaf: bytes, recorded_at_us: int) -> Before:
    """What an entry says of the next; the time of an envelope that was changed says nothing."""
    return Before(stored_leaf, leaf, recorded_at_us if stored_leaf == leaf else -1)


GENESIS = Before(NO_PREVIOUS, NO_PREVIOUS, -1)
