"""The private keys of the signer, outside the database: the one that signs, and during a rotation the one that follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from precedent.errors import SettingsInvalid
from precedent.ledger.key_files import create_key, fsync_folder, parse_key, read_key

KEY_NAME = "signer.key"
NEXT_NAME = "signer-next.key"


@dataclass(frozen=True, slots=True)
class Seeds:
    """32 bytes of RFC 8032 each. While there is a following key, everything is signed by both."""

    current: bytes = field(repr=False)
    following: bytes | None = field(default=None, repr=False)


SeedSource: TypeAlias = Callable[[], Seeds]


def seed_source(folder: Path, configured: str | None) -> SeedSource:
    """Reads the keys when asked, for a rotation changes them under a process that runs.

    `configured` is one key in hexadecimal, or two with a comma: the current and the following. Without it they are files in
    `folder`. What it gives may raise SettingsInvalid: a key is missing, is none, or can be read by others.
    """
    if configured:
        fixed = _parse(configured)
        return lambda: fixed
    return lambda: read_seeds(folder)


def read_seeds(folder: Path) -> Seeds:
    """Raises: SettingsInvalid."""
    path, following = folder / KEY_NAME, folder / NEXT_NAME
    for _ in range(2):
        try:
            # The following first: where it takes the current one's place in between, both are the same key.
            seed = read_key(following) if following.exists() else None
            current = read_key(path)
        except FileNotFoundError:
            continue  # it moved between two looks
        return Seeds(current, None if seed == current else seed)
    raise SettingsInvalid(
        f"couldn't find the signer's key: set PRECEDENT_SIGNER_KEY, or put {KEY_NAME} into {folder}; "
        "a key that is lost is replaced by `precedent ledger recover --new-key`"
    )


def create_signer_key(folder: Path) -> None:
    """Make the first key, unless there is one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    create_key(folder / KEY_NAME)


def create_following_key(folder: Path) -> None:
    """Make the key that will follow, durable, unless there is one: a rotation that was interrupted goes on with it."""
    create_key(folder / NEXT_NAME)
    fsync_folder(folder)


def promote_following_key(folder: Path) -> None:
    """The following key takes the place of the current one, which is gone then. If we crash, it is done or not begun."""
    (folder / NEXT_NAME).replace(folder / KEY_NAME)
    fsync_folder(folder)


def _parse(configured: str) -> Seeds:
    try:
        keys = [parse_key(part) for part in configured.split(",")]
    except ValueError as error:
        raise SettingsInvalid(f"couldn't use PRECEDENT_SIGNER_KEY: {error}") from error
    if len(keys) > 2 or len(set(keys)) < len(keys):
        raise SettingsInvalid("couldn't use PRECEDENT_SIGNER_KEY: it is one key, or the current and the following one")
    return Seeds(*keys)
