"""What an entry is, byte by byte: sections, commitments, body root, envelope, leaf. Pure; the SQL of the append does the same.

envelope v1 (114 bytes, big-endian) =
  u8 version=1 | u8 kind | chain_id[16] | u64 seq | u64 recorded_at_us | entry_id[16] | prev_leaf[32] | body_root[32]
leaf      = SHA256(0x00 || envelope)                                                      RFC 6962, section 2.1
body_root = SHA256(0x10 || u8 n || commit_1 … commit_n)           ascending section ids, absent ones omitted
commit_i  = SHA256(0x11 || u8 section_id || salt[32] || stored bytes)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple, TypeAlias
from uuid import UUID

from precedent.clock import Clock
from precedent.ledger.canonical import canonical_bytes

ENVELOPE = struct.Struct(">BB16sQQ16s32s32s")
ENVELOPE_BYTES = 114
NO_PREVIOUS = bytes(32)
SALT_BYTES = 32

# How often that is done again which came back `Stale`, `SubjectMoved` or `ReviewMoved`. Flags and policies change by a person's hand:
# who loses this race so often has met something else.
MAX_TRIES = 8


class Kind(IntEnum):
    """What an entry records."""

    EVENT = 1
    DECISION = 2
    REVIEW = 3
    OUTCOME = 4
    POLICY = 5
    FLAG = 6
    PROMOTION = 7
    ERASURE = 8
    KEY = 9
    ASSET = 10
    RECOVERY = 11


class Section(IntEnum):
    """Parts of an entry's body. `core` never holds personal values; `personal` is stored encrypted."""

    CORE = 1
    FACTS = 2
    PERSONAL = 3
    MEMORY = 4
    SHADOW = 5


LAST_SECTION = int(Section.SHADOW)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The 114 bytes that a leaf commits to, taken apart."""

    kind: int
    chain_id: UUID
    seq: int
    recorded_at_us: int
    entry_id: UUID
    prev_leaf: bytes
    body_root: bytes

    @classmethod
    def unpack(cls, raw: bytes) -> Envelope:
        """Raises: ValueError for another length or version."""
        if len(raw) != ENVELOPE_BYTES or raw[0] != 1:
            raise ValueError(f"not an envelope of version 1: {len(raw)} bytes, version {raw[:1].hex()}")
        _, kind, chain_id, seq, at_us, entry_id, prev_leaf, body_root = ENVELOPE.unpack(raw)
        return cls(kind, UUID(bytes=chain_id), seq, at_us, UUID(bytes=entry_id), prev_leaf, body_root)

    def pack(self) -> bytes:
        return ENVELOPE.pack(
            1, self.kind, self.chain_id.bytes, self.seq, self.recorded_at_us, self.entry_id.bytes, self.prev_leaf, self.body_root
        )


def leaf_of(envelope: bytes) -> bytes:
    return sha256(b"\x00" + envelope).digest()


def commit_of(section_id: int, salt: bytes, stored: bytes) -> bytes:
    return sha256(b"\x11" + bytes((section_id,)) + salt + stored).digest()


def body_root_of(commits: Sequence[bytes]) -> bytes:
    """Of commitments in ascending order of their section ids."""
    return sha256(b"\x10" + bytes((len(commits),)) + b"".join(commits)).digest()


class SectionBytes(NamedTuple):
    """One section as it will be stored, with the salt of its commitment. A tuple, since a decision makes three."""

    section_id: int
    salt: bytes
    stored: bytes


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A subject that this entry is the first to name: the random id, the keyed hash it is found by, its wrapped data key."""

    subject_id: UUID
    lookup_hash: bytes
    epoch_key: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before its place is known. Appending the same draft twice records it once.

    Raises: ValueError where the sections make no entry: without a core, out of order, one twice, a salt of another length.
    """

    entry_id: UUID
    kind: Kind
    sections: tuple[SectionBytes, ...]
    epoch: int | None = None
    claim: bytes | None = None
    fingerprint: bytes | None = None
    subject: NewSubject | None = None
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        last, size_bytes = 0, 0
        for section_id, salt, stored in self.sections:
            if not last < section_id <= LAST_SECTION or len(salt) != SALT_BYTES:
                raise ValueError(f"section {section_id} behind {last}, with a salt of {len(salt)} bytes, makes no entry")
            last = section_id
            size_bytes += len(stored)
        if not self.sections or self.sections[0].section_id != Section.CORE:
            raise ValueError("an entry needs a core section")
        object.__setattr__(self, "size_bytes", size_bytes)


def draft_entry(
    clock: Clock,
    kind: Kind,
    sections: dict[Section, object],
    *,
    entry_id: UUID | None = None,
    personal: bytes | None = None,
    epoch: int | None = None,
    claim: bytes | None = None,
    fingerprint: bytes | None = None,
    subject: NewSubject | None = None,
) -> Draft:
    """A draft of canonical sections; `personal` is the sealed section, already encrypted under `entry_id`.

    Raises: NotCanonical.
    """
    stored = [(int(section), canonical_bytes(value)) for section, value in sections.items()]
    if personal is not None:
        stored.append((int(Section.PERSONAL), personal))
    salts = clock.salt_bytes(SALT_BYTES * len(stored))
    parts = [SectionBytes(one[0], salts[SALT_BYTES * n : SALT_BYTES * (n + 1)], one[1]) for n, one in enumerate(sorted(stored))]
    return Draft(entry_id or clock.new_id(), kind, tuple(parts), epoch, claim, fingerprint, subject)


class Appended(NamedTuple):
    """Where an entry stands, once committed."""

    entry_id: UUID
    seq: int
    envelope: bytes
    leaf: bytes

    @property
    def recorded_at_us(self) -> int:
        return int.from_bytes(self.envelope[26:34], "big")

    @property
    def prev_leaf(self) -> bytes:
        return self.envelope[50:82]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The idempotency key was claimed before, by the entry named, for a body with this fingerprint. Nothing was written."""

    entry_id: UUID
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Stale:
    """Decided under flags or policies that have changed. Nothing was written: decide again."""


@dataclass(frozen=True, slots=True)
class SubjectMoved:
    """Another process was first to name this subject. Nothing was written: seal again under its key."""


@dataclass(frozen=True, slots=True)
class ReviewMoved:
    """The review has no such step before it any more. Nothing was written: look at it again."""


Answer: TypeAlias = Appended | Claimed | Stale | SubjectMoved | ReviewMoved
