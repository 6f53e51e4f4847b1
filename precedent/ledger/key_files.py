"""Files that the record's safety hangs on: keys, and the little that is remembered outside the database.

Mode 600, and whole or not there at all, also after a power cut.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from precedent.errors import SettingsInvalid

KEY_BYTES = 32


def create_key(path: Path) -> None:
    """Make a key of 32 random bytes, in hexadecimal, unless there is one. Linked into place: the first to come wins."""
    if path.exists():
        return
    aside = _write_aside(path, secrets.token_hex(KEY_BYTES) + "\n")
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    finally:
        aside.unlink()
        fsync_folder(path.parent)


def read_key(path: Path) -> bytes:
    """Raises: SettingsInvalid when it is no key, or others may read it."""
    if path.stat().st_mode & 0o077:
        raise SettingsInvalid(f"couldn't use {path}: others may read it (chmod 600)")
    try:
        return parse_key(path.read_text())
    except ValueError as error:
        raise SettingsInvalid(f"couldn't use {path}: {error}") from error


def parse_key(text: str) -> bytes:
    """Raises: ValueError for anything but 32 bytes in hexadecimal."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError as error:
        raise ValueError("not hexadecimal") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"{len(key)} bytes instead of {KEY_BYTES}")
    return key


def replace_text(path: Path, text: str) -> None:
    """Put `text` in the place of what stood there. If we crash, one or the other stands there, never a part."""
    aside = _write_aside(path, text)
    try:
        aside.replace(path)
    except OSError:
        aside.unlink()
        raise
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Make names durable: else a new one may be forgotten, though its bytes are safe, and a removed one come back."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_aside(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return aside
