"""Which models' rows are stated in the ledger, and what they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
from dagster_dbt import DbtProject

from dagster_project.defs.ledger.statements import state
from dagster_project.defs.ledger.store import Head
from dagster_project.defs.warehouse.manifest import code_of
from precedent.lineage.state import Maker, Upstream, note_due
from precedent.lineage.statement import Prefix

ACTIVITY = "int_entities_daily_activity"
STATED_BY_DAY = ("entity_features", "decision_daily")
# As in dbt/macros/features.sql: a row goes on so long after its last window has emptied.
REST_DAYS = 7


@dataclass(frozen=True, slots=True)
class ModelStatements:
    """Of one run: its cut of every chain, and the models that it builds."""

    context: dg.AssetExecutionContext
    project: DbtProject
    url: str
    heads: list[Head]

    def note(self) -> None:
        """Before any row is written: the days of the marts that the run builds."""
        names = [name for name in STATED_BY_DAY if dg.AssetKey(name) in self.context.selected_asset_keys]
        if names:
            days = [date.fromisoformat(key) for key in self.context.partition_keys]
            for head in self.heads:
                note_due(self.url, head.chain_id, names, days)

    def state(self, name: str) -> None:
        """After a model's rows are committed. What other models need is told by the manifest."""
        if name in STATED_BY_DAY or name == ACTIVITY:
            prefixes = [Prefix(head.chain_id, head.size, head.root) for head in self.heads]
            state(self.context, self.url, prefixes, name, self._maker_of(name))

    def _maker_of(self, name: str) -> Maker:
        manifest = json.loads(self.project.manifest_path.read_text())
        upstream = [Upstream(ACTIVITY, window_days(manifest) + REST_DAYS - 1)] if name == "entity_features" else []
        return Maker(code_of(self.project), upstream)


def window_days(manifest: dict[str, Any]) -> int:
    """Of the longest window that any feature has."""
    (model,) = (node for node in manifest["nodes"].values() if node["name"] == "entity_features" and node["resource_type"] == "model")
    features = (column["config"]["meta"].get("feature") for column in model["columns"].values())
    return max((feature["days"] for feature in features if feature), default=0)
