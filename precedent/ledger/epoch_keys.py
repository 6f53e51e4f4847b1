"""Epoch keys: each wraps the data keys of living subjects for a month, outside the database, and is then destroyed.

A backup of the database holds wrapped keys: erasing one in the live database does not darken it, the end of its epoch does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from precedent.errors import LedgerBroken, SettingsInvalid
from precedent.ledger.key_files import KEY_BYTES, create_key, fsync_folder, parse_key, read_key

PLUGIN = "python:"
# By month, so that they sort by age; a second one of the same month has a number.
EPOCH_NAME = re.compile(r"epoch-\d{4}-\d{2}(-\d{2})?")


class EpochKeys(Protocol):
    """Wraps and unwraps under named keys that never have to leave it: a key management service fits as well as files."""

    def names(self) -> list[str]:
        """The epochs that have a key, the oldest first."""
        ...

    def wrap(self, epoch: str, data_key: bytes) -> bytes:
        """Raises: LedgerBroken where that epoch has no key."""
        ...

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        """Raises: LedgerBroken where that epoch has no key, or another one wrapped it."""
        ...

    def refresh(self) -> None:
        """Learn of keys that were made or destroyed by others."""
        ...

    def create(self, epoch: str) -> None:
        """The epoch has a key, durable on return. Raises: SettingsInvalid where keys are not made here."""
        ...

    def destroy(self, epoch: str) -> None:
        """Nothing that it wrapped can ever be unwrapped again. Raises: SettingsInvalid where keys are not destroyed here."""
        ...


class HeldKeys:
    """Keys that were handed over, by the environment: whoever sets it makes and destroys them."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    def names(self) -> list[str]:
        return sorted(self._keys)

    def wrap(self, epoch: str, data_key: bytes) -> bytes:
        return aes_key_wrap(self._key(epoch), data_key)  # RFC 3394

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        key = self._key(epoch)
        try:
            return aes_key_unwrap(key, wrapped)
        except Exception as error:
            raise LedgerBroken(f"couldn't unwrap a subject's key: it is not under this key of {epoch}") from error

    def refresh(self) -> None:
        pass

    def create(self, epoch: str) -> None:
        raise SettingsInvalid(f"couldn't make {epoch}: add it to PRECEDENT_EPOCH_KEYS, here and at every API, and restart them")

    def destroy(self, epoch: str) -> None:
        raise SettingsInvalid(f"nothing is wrapped under {epoch} any more: take it out of PRECEDENT_EPOCH_KEYS everywhere, and destroy it")

    def _key(self, epoch: str) -> bytes:
        key = self._keys.get(epoch)
        if key is None:
            self.refresh()
            key = self._keys.get(epoch)
        if key is None:
            raise LedgerBroken(f"couldn't unwrap a subject's key: the key of {epoch} is missing or was destroyed")
        return key


class FolderKeys(HeldKeys):
    """One file of mode 600 an epoch. Read at start, and again when an epoch is unknown: a rotation needs no restart."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder = folder
        self.refresh()

    def refresh(self) -> None:
        # One assignment: a thread that unwraps meanwhile sees the old keys or the new.
        self._keys = {path.stem: read_key(path) for path in self._folder.glob("epoch-*.key") if EPOCH_NAME.fullmatch(path.stem)}

    def create(self, epoch: str) -> None:
        create_key(self._path(epoch))
        self.refresh()

    def destroy(self, epoch: str) -> None:
        """Overwritten, then removed; what a disk, a snapshot or a backup of the folder keeps beyond that is for whoever runs them."""
        path = self._path(epoch)
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except FileNotFoundError:
            return
        try:
            os.pwrite(descriptor, b"0" * (2 * KEY_BYTES), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()
        fsync_folder(self._folder)
        self.refresh()

    def _path(self, epoch: str) -> Path:
        return self._folder / f"{epoch}.key"


def parse_keys(text: str) -> EpochKeys:
    """Keys of a text like `epoch-2026-11=<64 hex digits> epoch-2026-12=…`, or what `python:module:name` names, called without
    arguments: it keeps them elsewhere.

    Raises: SettingsInvalid.
    """
    if text.startswith(PLUGIN):
        return _plugin(text)
    keys = {}
    for word in text.split():
        name, _, digits = word.partition("=")
        try:
            keys[name] = parse_key(digits)
        except ValueError as error:
            raise SettingsInvalid(f"couldn't use PRECEDENT_EPOCH_KEYS: {name}: {error}") from error
        if not EPOCH_NAME.fullmatch(name):
            raise SettingsInvalid(f"couldn't use PRECEDENT_EPOCH_KEYS: '{name}' is no name like epoch-2026-11")
    return HeldKeys(keys)


def _plugin(place: str) -> EpochKeys:
    module, _, name = place.removeprefix(PLUGIN).partition(":")
    try:
        made: EpochKeys = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"couldn't use PRECEDENT_EPOCH_KEYS: {place}: {error}") from error
    return made
