"""Windows: stretches of business time, each sent as one batch of events, one of decisions and one of outcomes.

Batches are in business time's order and so are windows; within a window its decisions come after its events and its outcomes
after its decisions, which shifts an entry by less than one window and makes 200 requests of 39,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from precedent.cli.loading.operation import Kind, Operation

WINDOW_LIMIT = 200
BATCH_LIMIT_BYTES = 3 * 1024 * 1024
ID_BYTES = 64


@dataclass(slots=True)
class Window:
    """Operations by kind, each in the order of business time."""

    parts: dict[Kind, list[Operation]] = field(default_factory=lambda: {kind: [] for kind in Kind})

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def rows(self) -> Rows:
        return tuple(tuple(one.row for one in self.parts[kind]) for kind in Kind)


Rows = tuple[Sequence[int], ...]


def cut(operations: Iterable[Operation], limit: int = WINDOW_LIMIT) -> Iterator[Window]:
    """Windows of ordered operations: none holds more than `limit` of a kind, or a batch too large for the API."""
    window = Window()
    sizes = dict.fromkeys(Kind, 0)
    for one in operations:
        size = len(one.body) + ID_BYTES
        if len(window.parts[one.kind]) == limit or sizes[one.kind] + size > BATCH_LIMIT_BYTES:
            yield window
            window, sizes = Window(), dict.fromkeys(Kind, 0)
        window.parts[one.kind].append(one)
        sizes[one.kind] += size
    if window:
        yield window


def batch_key(load_id: str, kind: Kind, rows: Iterable[int]) -> str:
    """The Idempotency-Key of a batch: the same rows of the same load give the same key, on any machine and at any time."""
    return sha256(f"{load_id} {kind.name} {','.join(map(str, rows))}".encode()).hexdigest()[:40]
