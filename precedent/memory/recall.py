"""Precedents: past decisions like the one that is asked, of which we know what came, or what a person decided.

Similarity is evidence, never authority: what is found reaches a rule only by name, and all of it is sealed in the decision. Nothing
that was known after the decision's own time is seen: neither a case, nor an outcome, nor what counts as novel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from precedent.db.reads import Reads, SharedLookup
from precedent.errors import SettingsInvalid
from precedent.memory.embed import TypedEncoder, encodable, encoder_of, vector_text
from precedent.memory.recall_store import (
    CALIBRATED,
    SEARCH_EXACT,
    SEARCH_INDEX,
    SERVING,
    Found,
    Neighbours,
    neighbours_of,
    search_parameters,
)

# How long a process goes on with the encoder that it made: models change once in months.
MODEL_SECONDS = 5.0
SUCCESS_PPM = 500_000  # a reward of one half or more is a success, as in snapshots

log = structlog.get_logger(__name__)


class Measured(NamedTuple):
    """How an action's precedents are searched, None exactly, and beyond which distance a case is novel, None where nobody can say."""

    ef_search: int | None = None
    rows_count: int = 0
    novelty_ppm: int | None = None


class Asked(NamedTuple):
    """One search. What stands first is shared by those that go into one statement."""

    model_id: str
    scope: str
    ef_search: int
    k: int
    vector: str
    at_us: int


class Recall:
    """Finds the precedents of all decisions in flight, by one query for each scope at a time."""

    def __init__(self, reads: Reads, chain_id: UUID) -> None:
        self._reads = reads
        self._chain_id = chain_id
        self._measured: SharedLookup[tuple[str, str, str, int], Measured] = SharedLookup(self._fetch_measured)
        self._neighbours: SharedLookup[Asked, Neighbours] = SharedLookup(self._fetch_neighbours)
        self._encoder: TypedEncoder | None = None
        self._read_at: float | None = None

    async def find(self, node: str, action: str, facts: Mapping[str, Any], at_us: int, k: int) -> dict[str, Any]:
        """What the memory section holds of precedents. Without a model, without facts or without cases there are none, and all is novel.

        Raises: DatabaseUnavailable.
        """
        encoder, inputs = await self._serving(), encodable(facts)
        point = encoder.encode(inputs) if encoder else []
        if encoder is None or not any(point):  # no facts, or none that weighs: it lies nowhere
            return section(encoder.model_id if encoder else None, k, Neighbours(), None)
        measured = await self._measured.get((encoder.model_id, node, action, at_us)) or Measured()
        asked = Asked(encoder.model_id, f"{node}/{action}", measured.ef_search or 0, k, vector_text(point), at_us)
        return section(encoder.model_id, k, await self._neighbours.get(asked) or Neighbours(), measured.novelty_ppm)

    async def _serving(self) -> TypedEncoder | None:
        """The encoder of the model that serves; None before the first, or where this release can't make it again."""
        now = asyncio.get_running_loop().time()
        if self._read_at is None or now - self._read_at > MODEL_SECONDS:
            row = await self._reads.fetch_one(SERVING, (self._chain_id,))
            self._encoder, self._read_at = _encoder_of(*row) if row else None, now
        return self._encoder

    async def _fetch_measured(self, keys: list[tuple[str, str, str, int]]) -> dict[tuple[str, str, str, int], Measured]:
        columns = zip(("models", "nodes", "actions", "ats"), map(list, zip(*keys, strict=True)), strict=True)
        rows = await self._reads.fetch(CALIBRATED, {"chain": self._chain_id, **dict(columns)})
        return {keys[place - 1]: Measured(*measured) for place, *measured in rows}

    async def _fetch_neighbours(self, keys: list[Asked]) -> dict[Asked, Neighbours]:
        found: dict[Asked, Neighbours] = {}
        for (model_id, scope, ef_search, k), group in groupby(sorted(keys), key=lambda one: one[:4]):
            asked = list(group)
            vectors, ats = [one.vector for one in asked], [one.at_us for one in asked]
            parameters = search_parameters(self._chain_id, model_id, scope, vectors, ats, k, ef_search or None)
            rows = await self._reads.fetch(SEARCH_INDEX if ef_search else SEARCH_EXACT, parameters, prepare=False)
            found.update((asked[place], one) for place, one in neighbours_of(rows).items())
        return found


def _encoder_of(model_id: str, parameters: Mapping[str, Any]) -> TypedEncoder | None:
    try:
        return encoder_of(model_id, parameters)
    except SettingsInvalid as error:
        log.warning("precedents_not_found", error=str(error))
        return None


def section(model_id: str | None, k: int, found: Neighbours, novelty_ppm: int | None) -> dict[str, Any]:
    """What is sealed: whole numbers only. Where nobody has measured what is novel, every case is: a rule may ask a person, never less.

    `success_rate_bp` is over those with a reward, rounded down; None where none has one.
    """
    nearest = found.nearest
    rewards = [one.reward_ppm for one in nearest if one.reward_ppm is not None]
    is_novel = not nearest or novelty_ppm is None or nearest[0].distance_ppm > novelty_ppm
    return {
        "model": model_id,
        "k": k,
        "count": len(nearest),
        "success_rate_bp": 10_000 * sum(reward >= SUCCESS_PPM for reward in rewards) // len(rewards) if rewards else None,
        "novel": is_novel,
        "novelty_ppm": novelty_ppm,
        "nearest": [_sealed(one) for one in nearest],
        "counter": _sealed(found.other) if found.other else None,
    }


def _sealed(found: Found) -> dict[str, Any]:
    return {
        "id": str(found.decision_id),
        "verdict": found.verdict,
        "by_person": found.by_person,
        "distance_ppm": found.distance_ppm,
        "reward_ppm": found.reward_ppm,
    }
