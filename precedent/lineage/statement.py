"""What a materialisation says of one partition, as the core of an entry of kind asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from precedent.lineage.digest import FORMAT

OPERATION = "materialise"


@dataclass(frozen=True, slots=True)
class Prefix:
    """The entries that a run reads: the first `size` of a chain, whose tree has this root."""

    chain_id: UUID
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Input:
    """What was read of another asset: the partitions `first` … `last` that had been stated, and one digest over theirs."""

    asset: str
    first: str
    last: str
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Statement:
    """As it stands in the ledger. `columns` are those of the digest, in order; `parameters` choose the rows (a model of vectors)."""

    id: UUID
    seq: int
    recorded_at: datetime
    asset: str
    partition: str
    digest: str
    rows: int
    columns: tuple[str, ...]
    parameters: Mapping[str, Any]
    code: str
    ledger_size: int
    ledger_root: str
    inputs: tuple[Input, ...]
    supersedes: UUID | None

    @property
    def day(self) -> date:
        return date.fromisoformat(self.partition)


def core_of(
    asset: str,
    partition: str,
    digest: bytes,
    row_count: int,
    columns: Sequence[str],
    parameters: Mapping[str, Any],
    code: str,
    prefix: Prefix,
    inputs: Sequence[Input],
    supersedes: UUID | None,
    principal: str,
) -> dict[str, object]:
    """The core of the entry. `code` is a digest of the sources that computed the rows, or the name of what did."""
    return {
        "op": OPERATION,
        "asset": asset,
        "partition": partition,
        "format": FORMAT,
        "digest": digest.hex(),
        "rows": row_count,
        "columns": list(columns),
        "parameters": dict(parameters),
        "code": code,
        "ledger": {"size": prefix.size, "root": prefix.root.hex()},
        "inputs": [asdict(one) for one in inputs],
        "supersedes": str(supersedes) if supersedes else None,
        "principal": principal,
    }


def statement_of(entry_id: UUID, seq: int, recorded_at: datetime, core: Mapping[str, Any]) -> Statement:
    """Raises: KeyError, TypeError, ValueError for a core that states nothing."""
    supersedes = core["supersedes"]
    return Statement(
        entry_id,
        seq,
        recorded_at,
        core["asset"],
        core["partition"],
        core["digest"],
        core["rows"],
        tuple(core["columns"]),
        core["parameters"],
        core["code"],
        core["ledger"]["size"],
        core["ledger"]["root"],
        tuple(Input(**one) for one in core["inputs"]),
        UUID(supersedes) if supersedes else None,
    )
