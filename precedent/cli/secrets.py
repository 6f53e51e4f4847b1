"""Files that only their owner may read: the development token and the internal token of a home."""

from __future__ import annotations

import os
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Put a file of mode 600 in place, whole or not at all; at no moment could others read it."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    fresh.replace(path)


def read_secret(path: Path) -> str | None:
    """The file's text, None where there is none. A mode that others can read is put right first."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
