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

from precedent.errors import LedgerBroken, SettingsInvalid
from precedent.ledger.anchor import checkpoint_file
from precedent.ledger.key_files import create_key, parse_key, read_key, replace_text
from precedent.ledger.merkle import is_consistent
from precedent.ledger.note import Checkpoint, SigningKey, open_checkpoint

KEY_NAME = "signer.key"


class Signer:
    """Signs for one origin, which is also the name of its key. Any number of processes may share one memory."""

    def __init__(self, origin: str, seed: bytes, memory: Path) -> None:
        """`memory` is a folder; it is made where it is missing."""
        self._key = SigningKey(origin, seed)
        self.verifier = self._key.verifier
        self._path = memory / checkpoint_file(origin)

    @property
    def origin(self) -> str:
        return self.verifier.name

    def last(self) -> Checkpoint | None:
        """The head that was signed last.

        Raises: LedgerBroken where the memory is not what this key wrote.
        """
        try:
            note = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return open_checkpoint(note, self.verifier)
        except ValueError as error:
            raise LedgerBroken(f"couldn't read what was signed last, in {self._path}: {error}") from error

    def sign(self, head: Checkpoint, path: Sequence[bytes]) -> str:
        """The signed note of `head`; `path` proves that its tree begins with that of the head signed last.

        If we crash after this remembers and before the note is used, the next head has to continue a note that nobody has seen.
        That is harmless: it stands for entries that were committed before.

        Raises: LedgerBroken for another origin, a smaller head, and one that does not continue the last.
        """
        if head.origin != self.origin:
            raise LedgerBroken(f"refused to sign a head of {head.origin}: this signer is for {self.origin}")
        with self._alone():
            last = self.last()
            if last and last.size and not is_consistent(last.size, last.root, head.size, head.root, path):
                raise LedgerBroken(
                    f"refused to sign a head of {head.size} entries: it does not continue the one of {last.size} that was signed before"
                )
            note = self._key.sign(str(head))
            if head != last:
                replace_text(self._path, note)
            return note

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time reads, compares and remembers; the lock ends with the process that holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def load_seed(folder: Path, configured: str | None, *, create: bool) -> bytes:
    """The signer's private key: `configured` in hexadecimal, else the file in `folder`, made there with `create`.

    Raises: SettingsInvalid when it is missing and may not be made, or can be read by others.
    """
    if configured:
        try:
            return parse_key(configured)
        except ValueError as error:
            raise SettingsInvalid(f"couldn't use PRECEDENT_SIGNER_KEY: {error}") from error
    path = folder / KEY_NAME
    if create:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_key(path)
    if not path.exists():
        raise SettingsInvalid(f"couldn't find the signer's key: set PRECEDENT_SIGNER_KEY, or put {KEY_NAME} into {folder}")
    return read_key(path)
