"""How dbt's names become Dagster's: one name a model, sources are the ledger's assets, only marts have days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject

from precedent.settings import load_settings

GROUP = "warehouse"

# Days are UTC, as in dbt, where the oldest log that ships begins on 2011-09-30. A day costs nothing until it is computed.
daily = dg.DailyPartitionsDefinition(start_date=load_settings().pipeline_start.isoformat(), timezone="UTC")

# Schedules make everything that is derived each morning: what has had no run for a day and a bit is late.
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=30), warn_window=timedelta(hours=26))


class PrecedentTranslator(DagsterDbtTranslator):
    """Views and intermediates follow the ledger's prefix and have no partitions; tables of marts have one a day."""

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = self.get_resource_props(manifest, unique_id)
        spec = spec.replace_attributes(key=dg.AssetKey(properties["name"]))
        if properties["resource_type"] != "model":
            return spec
        # Marts that are views follow the tables under them, and have no days.
        is_mart = "marts" in properties["fqn"] and properties["config"]["materialized"] == "incremental"
        return spec.replace_attributes(
            group_name=GROUP,
            partitions_def=daily if is_mart else None,
            freshness_policy=FRESH,
        )
