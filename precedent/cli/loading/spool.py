"""Operations of any number, on disk, read back in the order of business time.

Only 24 bytes of each stay in memory: a million cases (3 million operations) were mapped and read back by a process of 285 MB.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from precedent.cli.loading.operation import Kind, Operation

KINDS = len(Kind)
BUFFER_BYTES = 1024 * 1024


class Spool:
    """Add operations by rising row; then `finish`, and read. The file has no name: it is gone with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self.file = tempfile.TemporaryFile(dir=folder, buffering=BUFFER_BYTES)  # noqa: SIM115
        self.keys = array("q")
        self.instants = array("q")
        self.ends = array("q")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, operation: Operation) -> None:
        """Raises: ValueError where rows or kinds don't rise, since finding one by its row relies on that."""
        key = operation.row * KINDS + operation.kind
        if self.keys and key <= self.keys[-1]:
            raise ValueError(f"row {operation.row} comes after a later one")
        self.file.write(operation.body)
        self.keys.append(key)
        self.instants.append(operation.at_us)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(operation.body))

    def finish(self) -> None:
        """Nothing is added from here on; before it nothing can be read."""
        self.file.flush()

    def read(self, place: int) -> Operation:
        """The operation that was added as number `place`, from 0."""
        start = self.ends[place - 1] if place else 0
        row, kind = divmod(self.keys[place], KINDS)
        # Not through the buffer: where rows aren't sorted by time, it would be filled anew for each.
        return Operation(Kind(kind), row, self.instants[place], os.pread(self.file.fileno(), self.ends[place] - start, start))

    def place_of(self, kind: Kind, row: int) -> int | None:
        """The number under which an operation was added."""
        keys = np.frombuffer(self.keys, dtype=np.int64)
        key = row * KINDS + kind
        place = int(np.searchsorted(keys, key))
        return place if place < len(keys) and keys[place] == key else None

    def in_order(self, without: Sequence[int] = ()) -> Iterator[Operation]:
        """All but the places in `without`, by business time, then kind, then row."""
        keys: NDArray[np.int64] = np.frombuffer(self.keys, dtype=np.int64)
        wanted = np.ones(len(keys), dtype=bool)
        wanted[list(without)] = False
        order = np.lexsort((keys, keys % KINDS, np.frombuffer(self.instants, dtype=np.int64)))
        for place in order[wanted[order]]:
            yield self.read(int(place))
