"""Where checkpoints are kept outside the database, so that a database that was taken back is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from precedent.ledger.key_files import replace_text


class Anchor(Protocol):
    """Keeps the newest checkpoint of each origin, out of reach of whoever can change the database."""

    def write(self, origin: str, note: str) -> None:
        """Keep `note` as the newest; durable on return. Raises: OSError."""
        ...

    def read(self, origin: str) -> str | None:
        """The newest note that was written. Raises: OSError."""
        ...


class FolderAnchor:
    """One file an origin, replaced as a whole. Put the folder on another machine's disk to gain more than from one beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, origin: str, note: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_text(self._path(origin), note)

    def read(self, origin: str) -> str | None:
        try:
            return self._path(origin).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _path(self, origin: str) -> Path:
        return self._folder / checkpoint_file(origin)


def checkpoint_file(origin: str) -> str:
    """Name of the file that holds the newest checkpoint of an origin."""
    return f"{origin.replace('/', '_')}.checkpoint"
