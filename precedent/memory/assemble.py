"""A decision's memory section: features always, snapshot and precedents where the policy names them or the caller asks.

What the policy doesn't name costs nothing. What is asked for beyond it is recorded and told, and no rule can read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from precedent.db.reads import Reads, SharedLookup
from precedent.memory.features import FeatureReader
from precedent.memory.recall import Recall
from precedent.memory.snapshot_store import NEWEST_KNOWN
from precedent.policy.model import Action

ASKED_K = 10
DAILY = "daily"


class Memory:
    """One an API process; requests in flight share its look-ups."""

    def __init__(self, reads: Reads, chain_id: UUID) -> None:
        self._reads = reads
        self._chain_id = chain_id
        self._features = FeatureReader(reads, chain_id)
        self._recall = Recall(reads, chain_id)
        self._snapshots: SharedLookup[tuple[str, int], dict[str, Any]] = SharedLookup(self._fetch_snapshots)

    async def read(
        self, node: str, action: Action, facts: Mapping[str, Any], entities: Mapping[str, str], at_us: int, *, is_asked: bool
    ) -> dict[str, Any]:
        """The section. `facts` are those that rules may read; `is_asked` looks up snapshot and precedents whatever the policy names.

        Raises: DatabaseUnavailable.
        """
        k = action.precedents_k or (ASKED_K if is_asked else None)
        snapshot = action.snapshot or (DAILY if is_asked else None)
        if k is None and snapshot is None:
            return {"features": await self._features.read(entities, action.features, at_us)}
        features, precedents, found = await asyncio.gather(
            self._features.read(entities, action.features, at_us),
            self._recall.find(node, action.name, facts, at_us, k) if k else _nothing(),
            self._snapshots.get((f"{node}-{snapshot}", at_us)) if snapshot else _nothing(),
        )
        memory: dict[str, Any] = {"features": features}
        if k:
            memory["precedents"] = precedents
        if snapshot:
            memory["snapshot"] = found
        return memory

    async def _fetch_snapshots(self, keys: list[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Any]]:
        scopes, ats = ([key[part] for key in keys] for part in range(2))
        rows = await self._reads.fetch(NEWEST_KNOWN, (scopes, ats, self._chain_id))
        names = ("id", "scope", "day", "digest")
        return {keys[row[0] - 1]: dict(zip(names, row[1:], strict=True)) for row in rows}


async def _nothing() -> None:
    return None
