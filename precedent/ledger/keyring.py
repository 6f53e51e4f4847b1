"""The keys that live outside the database: epoch keys, which wrap each subject's data key, and the root of our keyed hashes.

Files of 32 bytes in hexadecimal, mode 600, in a folder of mode 700, or the same in the environment. Without them personal sections
are dark; a backup of the database must never travel with them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from precedent.errors import LedgerBroken, SettingsInvalid
from precedent.ledger.entry import Section
from precedent.ledger.epoch_keys import EpochKeys, FolderKeys, parse_keys
from precedent.ledger.key_files import create_key, parse_key, read_key
from precedent.settings import Settings


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one installation."""

    root: bytes = field(repr=False)
    epochs: EpochKeys = field(repr=False)

    @property
    def current_epoch(self) -> str:
        return self.epochs.names()[-1]

    def lookup_hash(self, entity_type: str, pseudonym: str) -> bytes:
        """By which a subject is found; tells nothing of the pseudonym to whoever lacks the root key."""
        return self._keyed(b"subject", entity_type.encode() + b"\x00" + pseudonym.encode())

    def fingerprint(self, body: bytes) -> bytes:
        """Of a request's raw body, to tell a repeat from a key used twice."""
        return self._keyed(b"body", body)

    @property
    def session_key(self) -> bytes:
        """That signs the sessions of pages, the same in every process of one installation."""
        return self._keyed(b"session", b"")

    def webhook_key(self, endpoint_id: UUID, version: int) -> bytes:
        """That signs the webhooks of an endpoint: known here and by its receiver, and stored nowhere."""
        return self._keyed(b"webhook", endpoint_id.bytes + version.to_bytes(4, "big"))

    def wrap(self, data_key: bytes) -> tuple[str, bytes]:
        """Name of the current epoch key, and the data key under it."""
        epoch = self.current_epoch
        return epoch, self.epochs.wrap(epoch, data_key)

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        """Raises: LedgerBroken when that epoch's key is gone or does not fit."""
        return self.epochs.unwrap(epoch, wrapped)

    def _keyed(self, purpose: bytes, message: bytes) -> bytes:
        return hmac.digest(_key_for(self.root, purpose), message, "sha256")


@lru_cache(maxsize=16)  # a handful of purposes, and two of them in every decision that has a key and a customer
def _key_for(root: bytes, purpose: bytes) -> bytes:
    return hmac.digest(root, purpose, "sha256")


def load_keyring(folder: Path, month: str, *, create: bool) -> Keyring:
    """The keys in `folder`; with `create`, those that are missing are made, `month` (`2026-11`) naming the first epoch.

    Raises: SettingsInvalid when a key is missing and may not be made, or can be read by others.
    """
    if create:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_key(folder / "root.key")
    epochs = FolderKeys(folder)
    if create and not epochs.names():
        epochs.create(f"epoch-{month}")
    if not epochs.names() or not (folder / "root.key").exists():
        raise SettingsInvalid(f"couldn't find the keys in {folder}: root.key and epoch-YYYY-MM.key are needed")
    return Keyring(read_key(folder / "root.key"), epochs)


def open_keyring(settings: Settings, month: str = "", *, create: bool = False) -> Keyring:
    """The keys of the environment, else those of the folder; the rest as above.

    Raises: SettingsInvalid, also when only one of the two kinds of key is in the environment.
    """
    root, epochs = settings.root_key, settings.epoch_keys
    if root is None and epochs is None:
        return load_keyring(settings.keys_path, month, create=create)
    if root is None or epochs is None:
        raise SettingsInvalid("PRECEDENT_ROOT_KEY and PRECEDENT_EPOCH_KEYS belong together: set both or neither")
    try:
        root_key = parse_key(root.get_secret_value())
    except ValueError as error:
        raise SettingsInvalid(f"couldn't use PRECEDENT_ROOT_KEY: {error}") from error
    keys = parse_keys(epochs.get_secret_value())
    if create and not keys.names():
        keys.create(f"epoch-{month}")
    if not keys.names():
        raise SettingsInvalid("couldn't find a key in PRECEDENT_EPOCH_KEYS")
    return Keyring(root_key, keys)


def seal(data_key: bytes, entry_id: UUID, plain: bytes, nonce: bytes) -> bytes:
    """The stored bytes of a personal section: SHA256(0x12 || data_key) || nonce[12] || AES-256-GCM, bound to its entry.

    The hash pins the key, so that no second key opens the same bytes to another text.
    """
    return _pin(data_key) + nonce + AESGCM(data_key).encrypt(nonce, plain, _bound_to(entry_id))


def unseal(data_key: bytes, entry_id: UUID, stored: bytes) -> bytes:
    """The canonical section that was sealed.

    Raises: LedgerBroken when the key or the bytes are others.
    """
    if not hmac.compare_digest(stored[:32], _pin(data_key)):
        raise LedgerBroken(f"couldn't open the personal section of {entry_id}: it was sealed under another key")
    try:
        return AESGCM(data_key).decrypt(stored[32:44], stored[44:], _bound_to(entry_id))
    except InvalidTag as error:
        raise LedgerBroken(f"couldn't open the personal section of {entry_id}: its bytes were changed") from error


def _pin(data_key: bytes) -> bytes:
    return sha256(b"\x12" + data_key).digest()


def _bound_to(entry_id: UUID) -> bytes:
    return entry_id.bytes + bytes((Section.PERSONAL,))
