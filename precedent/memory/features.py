"""Features: the newest row about an entity that was known before the decision. The pipeline writes them, decisions read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from precedent.db.reads import Reads, SharedLookup

FEATURES = """
select k.place, f.features, extract(epoch from f.known_at)::bigint
from unnest(%s::text[], %s::text[], %s::int8[]) with ordinality k (entity_type, entity_id, at_us, place)
cross join lateral (
    select f.features, f.known_at from analytics.entity_features f
    where f.chain_id = %s and f.entity_type = k.entity_type and f.entity_id = k.entity_id and f.known_at <= ledger.instant(k.at_us)
    order by f.known_at desc limit 1
) f
"""

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class EntityFeatures:
    """One row: its features by name, and the instant (seconds since 1970) at which they were known."""

    values: Mapping[str, Any]
    known_at_seconds: int


class FeatureReader:
    """Reads rows for all decisions in flight by one query at a time."""

    def __init__(self, reads: Reads, chain_id: UUID) -> None:
        self._reads = reads
        self._chain_id = chain_id
        self._lookup: SharedLookup[Key, EntityFeatures] = SharedLookup(self._fetch)

    async def read(self, entities: Mapping[str, str], declared: Mapping[str, Any], at_us: int) -> dict[str, Any]:
        """The declared features (`customer.discounts_30d`) that are known at `at_us`; those that are not are left out.

        Raises: DatabaseUnavailable.
        """
        found: dict[str, Any] = {}
        for entity_type, entity_id in entities.items():
            names = [name for name in declared if name.startswith(f"{entity_type}.")]
            row = await self._lookup.get((entity_type, entity_id, at_us)) if names else None
            if row is not None:
                known = {name: row.values.get(name.partition(".")[2]) for name in names}
                found.update((name, value) for name, value in known.items() if value is not None)
        return found

    async def _fetch(self, keys: list[Key]) -> dict[Key, EntityFeatures]:
        types, ids, ats = ([key[part] for key in keys] for part in range(3))
        try:
            rows = await self._reads.fetch(FEATURES, (types, ids, ats, self._chain_id))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return {}  # the pipeline has not run yet: nothing is known
        return {keys[place - 1]: EntityFeatures(values, known_at) for place, values, known_at in rows}
