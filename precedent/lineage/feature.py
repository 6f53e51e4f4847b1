"""What a feature, or a number of a scorecard, is made of: its value in a row, and the same counted from the ledger's decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import yaml

from precedent.lineage.source_store import count_feature, count_scored
from precedent.lineage.statement import Statement
from precedent.settings import project_root

DECLARATIONS = "dbt/models/marts/entity_features.yml"


@dataclass(frozen=True, slots=True)
class FeatureCount:
    """`name` as rules say it (`customer.discounts_30d`), or a column of scorecards; `value` in the row, `counted` from the ledger; null
    where nothing counts. `days` of its window; None where all that came before counts.
    """

    name: str
    description: str
    days: int | None
    value: int | None
    counted: int | None
    decision_ids: tuple[UUID, ...]


def declared_features() -> dict[str, dict[str, Any]]:
    """By name: `entity`, `from`, `where`, `mean`, `days`, as dbt reads them, and the `description`."""
    (model,) = yaml.safe_load((project_root() / DECLARATIONS).read_text())["models"]
    found = {}
    for column in model["columns"]:
        feature = column.get("config", {}).get("meta", {}).get("feature")
        if feature:
            name = f"{feature['entity']}.{column['name'].removeprefix(feature['entity'] + '_')}"
            found[name] = feature | {"description": column["description"].removeprefix(f"{name}: ")}
    return found


def count_features(
    connection: psycopg.Connection, chain_id: UUID, statement: Statement, key: Sequence[str], values: Mapping[str, Any]
) -> tuple[FeatureCount, ...]:
    """Of a row of `entity_features` by its key: every feature of that kind of entity."""
    told = []
    for name, feature in declared_features().items():
        if feature["entity"] == key[0]:
            first = statement.day - timedelta(days=feature["days"] - 1)
            counted, ids = count_feature(connection, feature, chain_id, statement.ledger_size, first, statement.day, key)
            value = values.get(name.partition(".")[2])
            told.append(FeatureCount(name, feature["description"], feature["days"], value, counted, tuple(ids)))
    return tuple(told)


def count_scorecard(
    connection: psycopg.Connection, chain_id: UUID, statement: Statement, key: Sequence[str], values: Mapping[str, Any]
) -> tuple[FeatureCount, ...]:
    """Of a row of `variant_scorecards` by its key: what its mean, interval and chance follow from. No panel is asked."""
    matured, rewarded, reward_ppm = count_scored(connection, chain_id, statement.ledger_size, key)
    return (
        FeatureCount("matured_count", "decisions of which an outcome is known", None, values["matured_count"], len(matured), matured),
        FeatureCount("rewarded_count", "those whose reward counts", None, values["rewarded_count"], len(rewarded), rewarded),
        FeatureCount("reward_sum_ppm", "sum of these rewards", None, round(values["reward_sum"] * 1_000_000), reward_ppm, rewarded),
    )
