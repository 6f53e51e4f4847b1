"""Idempotency keys: a claim says who asked what where, a fingerprint says with which body. Both are claimed inside the append."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

import psycopg

from precedent.db.reads import Reads
from precedent.errors import EventIdReused, Fault, FieldInvalid, IdempotencyKeyReused, LedgerBroken, RequestErased
from precedent.ledger import store
from precedent.ledger.entry import Claimed
from precedent.ledger.keyring import Keyring

MAX_KEY_CHARS = 255
_PLACE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """What an entry claims with its append."""

    claim: bytes
    fingerprint: bytes

    def require_same_body(self, claimed: Claimed) -> None:
        """Raises: IdempotencyKeyReused; RequestErased where an erasure emptied the fingerprint."""
        if not claimed.fingerprint:
            raise RequestErased("what was recorded under this Idempotency-Key was erased with the person it concerned")
        if claimed.fingerprint != self.fingerprint:
            raise IdempotencyKeyReused("this Idempotency-Key was used with another body")

    def at(self, place: int) -> Claim:
        """The claim of the entry at `place` of a batch that was sent under one key. The first claims the key itself, so that a key
        that stood for one entry on the same path is found in use; all of them are neighbours, told apart by their last four bytes."""
        if place == 0:
            return self
        last = int.from_bytes(self.claim[-_PLACE_BYTES:], "big") ^ place
        return Claim(self.claim[:-_PLACE_BYTES] + last.to_bytes(_PLACE_BYTES, "big"), self.fingerprint)

    @property
    def neighbours(self) -> tuple[bytes, bytes]:
        """The least and the greatest claim that `at` can give."""
        return self.claim[:-_PLACE_BYTES] + bytes(_PLACE_BYTES), self.claim[:-_PLACE_BYTES] + b"\xff" * _PLACE_BYTES


class EventIdentity(Claim):
    """What a CloudEvent claims: its source and id, whoever sends it, in whichever of its forms."""

    __slots__ = ()

    def require_same_body(self, claimed: Claimed) -> None:
        """Raises: EventIdReused."""
        if claimed.fingerprint != self.fingerprint:
            raise EventIdReused("another event was recorded under this source and id")


def identity_of(keyring: Keyring, source: str, event_id: str, content: bytes) -> EventIdentity:
    """The identity of a CloudEvent; `content` is all that makes it the event it is, in one form."""
    return EventIdentity(_digest_of("cloudevents/1.0", source, event_id), keyring.fingerprint(content))


def _digest_of(*parts: str) -> bytes:
    """Of the parts with their lengths, so that no other parts run together to the same bytes."""
    return sha256(b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)).digest()


def claim_of(keyring: Keyring, principal: str, method: str, path: str, key: str, body: bytes) -> Claim:
    """Raises: FieldInvalid for a key that is empty, too long or not printable ASCII."""
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        message = f"an Idempotency-Key has 1 to {MAX_KEY_CHARS} printable ASCII characters"
        raise FieldInvalid(message, [Fault("FIELD_INVALID", "/header/idempotency-key", message)])
    return Claim(_digest_of(principal, method, path, key), keyring.fingerprint(body))


def claimed_by(connection: psycopg.Connection, chain_id: UUID, claim: Claim | None) -> Claimed | None:
    """What was recorded under the claim before; None where nothing was.

    Raises: IdempotencyKeyReused where it was recorded for another body.
    """
    row = connection.execute(store.CLAIMED, (chain_id, claim.claim)).fetchone() if claim else None
    if claim is None or row is None:
        return None
    claimed = Claimed(*row)
    claim.require_same_body(claimed)
    return claimed


async def require_unused_by_others(reads: Reads, chain_id: UUID, claim: Claim | None) -> None:
    """Nothing was recorded under the key of a batch for another body, at whichever place: also where what stood first was refused
    then, and claims nothing. Two bodies under one key at the same instant are not seen here: the first append of each tells them apart.

    Raises: IdempotencyKeyReused, DatabaseUnavailable.
    """
    if claim is not None and await reads.fetch_one(store.CLAIMED_BY_OTHERS, (chain_id, *claim.neighbours, claim.fingerprint)):
        raise IdempotencyKeyReused("this Idempotency-Key was used with another body")


async def first_entry(entries: store.Entries, claim: Claim | None, claimed: Claimed) -> store.StoredEntry:
    """The entry that claimed the key first, if `claim` is of the same body.

    Raises: IdempotencyKeyReused; DatabaseUnavailable; LedgerBroken where nothing was claimed, or no such entry stands.
    """
    if claim is None:
        raise LedgerBroken(f"an entry that claims nothing was answered with {claimed}")
    claim.require_same_body(claimed)
    entry = await entries.find(claimed.entry_id)
    if entry is None:
        raise LedgerBroken(f"an idempotency key names {claimed.entry_id}, which no entry has")
    return entry
