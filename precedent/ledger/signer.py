"""The signer: it signs the heads of one tree, remembers the last one outside the database, and never contradicts itself.

Whoever holds the database can rewrite all of it with new hashes; this object is what they must get past. It believes nothing:
a head is signed only with a proof, checked here, that its tree begins with the tree of the head signed before.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from precedent.errors import LedgerBroken
from precedent.ledger.anchor import aside_path, checkpoint_file
from precedent.ledger.key_files import replace_text
from precedent.ledger.merkle import is_consistent
from precedent.ledger.note import Checkpoint, SigningKey, VerifierKey, open_checkpoint, sign_note
from precedent.ledger.signer_keys import Seeds, SeedSource


class Signer:
    """Signs for one origin, which is also the name of its keys. Any number of processes may share one memory."""

    def __init__(self, origin: str, seeds: bytes | SeedSource, memory: Path) -> None:
        """`seeds` is one private key, or says which there are now; `memory` is a folder, made where it is missing.

        Raises: SettingsInvalid.
        """
        fixed = seeds
        self._seeds: SeedSource = (lambda: Seeds(fixed)) if isinstance(fixed, bytes) else fixed
        self._origin = origin
        self._path = memory / checkpoint_file(origin)
        self._keys = self._read_keys()

    @property
    def origin(self) -> str:
        return self._origin

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """The keys whose signatures a note of now has, the current one first; as they were read last."""
        return tuple(key.verifier for key in self._keys)

    @property
    def verifier(self) -> VerifierKey:
        return self._keys[0].verifier

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The private keys, for an operator's command."""
        return self._keys

    def refresh(self) -> None:
        """Read the keys anew. Raises: SettingsInvalid."""
        self._keys = self._read_keys()

    def last(self) -> Checkpoint | None:
        """The head that was signed last.

        Raises: LedgerBroken where the memory is not what these keys wrote; SettingsInvalid.
        """
        note = self.last_note()
        if note is None:
            return None
        self.refresh()
        try:
            return open_checkpoint(note, *self.verifiers)
        except ValueError as error:
            raise LedgerBroken(f"couldn't read what was signed last, in {self._path}: {error}") from error

    def last_note(self) -> bytes | None:
        """What the memory holds, whoever wrote it."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def sign(self, head: Checkpoint, path: Sequence[bytes]) -> str:
        """The signed note of `head`; `path` proves that its tree begins with that of the head signed last.

        If we crash after this remembers and before the note is used, the next head has to continue a note that nobody has seen.
        That is harmless: it stands for entries that were committed before.

        During a rotation it has the signatures of both keys: so the memory can be read after either has gone.

        Raises: LedgerBroken for another origin, a smaller head, and one that does not continue the last; SettingsInvalid.
        """
        if head.origin != self.origin:
            raise LedgerBroken(f"refused to sign a head of {head.origin}: this signer is for {self.origin}")
        with self.alone():
            self.refresh()
            last = self.last()
            if last and last.size and not is_consistent(last.size, last.root, head.size, head.root, path):
                raise LedgerBroken(
                    f"refused to sign a head of {head.size} entries: it does not continue the one of {last.size} that was signed before"
                )
            return self._remember(head)

    def set_aside(self, label: str) -> None:
        """Keep what was signed last beside the memory, as evidence."""
        if (note := self.last_note()) is not None:
            replace_text(aside_path(self._path, label), note.decode(errors="replace"))

    def begin_anew(self, head: Checkpoint) -> str:
        """Sign `head` though it continues nothing: for an operator's recovery alone, which holds `alone` and keeps the last one aside."""
        self.refresh()
        return self._remember(head)

    def _remember(self, head: Checkpoint) -> str:
        note = sign_note(str(head), *self._keys)
        if note.encode() != self.last_note():
            replace_text(self._path, note)
        return note

    def _read_keys(self) -> tuple[SigningKey, ...]:
        seeds = self._seeds()
        return tuple(SigningKey(self._origin, seed) for seed in (seeds.current, seeds.following) if seed is not None)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time reads, compares and remembers; the lock ends with the process that holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
