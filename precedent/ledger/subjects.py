"""Subjects: who an entry concerns, known to everything but the mapping as a random id, each with a data key of their own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from uuid import UUID

from precedent.clock import Clock
from precedent.db.reads import Reads, SharedLookup
from precedent.errors import LedgerBroken
from precedent.ledger import store
from precedent.ledger.canonical import canonical_bytes
from precedent.ledger.entry import NewSubject
from precedent.ledger.keyring import Keyring, seal

CACHE_SUBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """`new` is what the append must record where no entry has named this subject before."""

    subject_id: UUID
    lookup_hash: bytes
    data_key: bytes = field(repr=False)
    new: NewSubject | None

    def seal(self, clock: Clock, entry_id: UUID, section: object) -> bytes:
        """The stored bytes of the entry's personal section."""
        return seal(self.data_key, entry_id, canonical_bytes(section), clock.random_bytes(12))


class Subjects:
    """Finds subjects by pseudonym, or makes them; of two processes that make one at once, the append lets one win.

    What is known here may have been erased since: the append asks the record, and has whoever named it look again.
    """

    def __init__(self, reads: Reads, keyring: Keyring, chain_id: UUID, clock: Clock) -> None:
        self._reads = reads
        self._keyring = keyring
        self._chain_id = chain_id
        self._clock = clock
        self._known: OrderedDict[bytes, Subject] = OrderedDict()
        self._lookup: SharedLookup[bytes, Subject] = SharedLookup(self._fetch)

    async def resolve(self, entity_type: str, pseudonym: str) -> Subject:
        """Raises: DatabaseUnavailable, LedgerBroken."""
        lookup_hash = self._keyring.lookup_hash(entity_type, pseudonym)
        known = self._known.get(lookup_hash)
        if known is None:
            found = await self._lookup.get(lookup_hash)
            # Whoever waited beside us for the same key made it already.
            known = self._known.get(lookup_hash) or self._keep(found or self._make(lookup_hash))
        return known

    def own(self, entry_id: UUID) -> Subject:
        """The subject of an entry that holds personal data and names nobody: itself."""
        return self._make(self._keyring.lookup_hash("entry", str(entry_id)))

    def recorded(self, subject: Subject) -> None:
        """An append recorded the subject: later entries need not."""
        if subject.new is not None and self._is_known(subject):
            self._keep(replace(subject, new=None))

    def forget(self, subject: Subject) -> None:
        """Another process was first, or the subject was erased, or its key came under an epoch that is over: look again."""
        if self._is_known(subject):
            del self._known[subject.lookup_hash]
        if subject.new is not None:
            self._keyring.epochs.refresh()

    def _is_known(self, subject: Subject) -> bool:
        """Whether it is still the one we know: after an erasure the same pseudonym is another subject."""
        known = self._known.get(subject.lookup_hash)
        return known is not None and known.subject_id == subject.subject_id

    async def _fetch(self, hashes: list[bytes]) -> dict[bytes, Subject | LedgerBroken]:
        found: dict[bytes, Subject | LedgerBroken] = {}
        for lookup_hash, subject_id, epoch_key, wrapped in await self._reads.fetch(store.SUBJECTS, (hashes, self._chain_id)):
            try:
                found[lookup_hash] = Subject(subject_id, lookup_hash, self._keyring.unwrap(epoch_key, wrapped), None)
            except LedgerBroken as broken:
                found[lookup_hash] = broken
        return found

    def _make(self, lookup_hash: bytes) -> Subject:
        data_key = self._clock.random_bytes(32)
        # Random, not time-ordered: an id must not tell when somebody first came.
        subject_id = UUID(bytes=self._clock.random_bytes(16), version=4)
        epoch_key, wrapped = self._keyring.wrap(data_key)
        return Subject(subject_id, lookup_hash, data_key, NewSubject(subject_id, lookup_hash, epoch_key, wrapped))

    def _keep(self, subject: Subject) -> Subject:
        self._known[subject.lookup_hash] = subject
        self._known.move_to_end(subject.lookup_hash)
        while len(self._known) > CACHE_SUBJECTS:
            self._known.popitem(last=False)
        return subject
