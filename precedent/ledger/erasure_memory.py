"""What was to be erased, kept outside the database beside the anchor: a database that is restored from before learns of it.

One file a chain, lines of JSON, only ever added to. A line is durable before the erasure begins; one that tears off in a crash
belongs to an erasure that never began. It names random ids alone: whom they stood for is gone with the mapping.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from precedent.errors import LedgerBroken
from precedent.ledger.key_files import fsync_folder


@dataclass(frozen=True, slots=True)
class Wanted:
    """An erasure that somebody asked for."""

    chain_id: UUID
    subject_id: UUID
    reason: str
    principal: str
    asked_at: str


class ErasureMemory(Protocol):
    """Outlives the database and its backups."""

    def remember(self, wanted: Wanted) -> None:
        """Durable on return. Raises: OSError."""
        ...

    def forget(self, wanted: Wanted) -> None:
        """It was not allowed after all. Durable on return. Raises: OSError."""
        ...

    def read(self, chain_id: UUID) -> list[Wanted]:
        """Everything remembered and not forgotten, the oldest first. Raises: OSError, LedgerBroken."""
        ...


class FolderErasures:
    """One file a chain in a folder, which is the anchor's unless told otherwise; keep it with the anchor, and back it up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, wanted: Wanted) -> None:
        self._add(wanted, "erase")

    def forget(self, wanted: Wanted) -> None:
        self._add(wanted, "forget")

    def read(self, chain_id: UUID) -> list[Wanted]:
        try:
            lines = self._path(chain_id).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found: dict[UUID, Wanted] = {}
        for line in lines:
            try:
                said = json.loads(line)
                wanted = Wanted(chain_id, UUID(said["subject_id"]), said["reason"], said["principal"], said["asked_at"])
            except (ValueError, KeyError, TypeError) as error:
                if line.endswith(b"}"):
                    raise LedgerBroken(f"couldn't read what was to be erased: a line of {self._path(chain_id)} was changed") from error
                continue  # torn off, or the end
            if said["op"] == "erase":
                found[wanted.subject_id] = wanted
            else:
                found.pop(wanted.subject_id, None)
        return list(found.values())

    def _add(self, wanted: Wanted, op: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        line = json.dumps(
            {
                "op": op,
                "subject_id": str(wanted.subject_id),
                "reason": wanted.reason,
                "principal": wanted.principal,
                "asked_at": wanted.asked_at,
            }
        )
        descriptor = os.open(self._path(wanted.chain_id), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # After a line that tore off, ours begins on a line of its own.
            end = file.seek(0, os.SEEK_END)
            is_torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
            file.write((b"\n" if is_torn else b"") + line.encode() + b"\n")
            os.fsync(file.fileno())
        fsync_folder(self._folder)

    def _path(self, chain_id: UUID) -> Path:
        return self._folder / f"{chain_id}.erasures"
