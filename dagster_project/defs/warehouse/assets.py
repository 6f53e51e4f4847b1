"""The dbt models as assets: one process of dbt a run, for one day or a thousand.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from dagster_project.defs.ledger.assets import observations_of
from dagster_project.defs.ledger.store import ledger_cut
from dagster_project.defs.runs import AGAIN, DERIVING, again_if_away
from dagster_project.defs.warehouse.build import build_models
from dagster_project.defs.warehouse.manifest import prepare_project
from dagster_project.defs.warehouse.statements import ModelStatements
from dagster_project.defs.warehouse.translator import PrecedentTranslator
from precedent.db.embedded import database_url
from precedent.settings import load_settings

project = prepare_project(load_settings())
translator = PrecedentTranslator()


@dbt_assets(
    manifest=project.manifest_path,
    project=project,
    name="dbt_models",
    dagster_dbt_translator=translator,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=AGAIN,
    pool=DERIVING,
)
def dbt_models(context: dg.AssetExecutionContext) -> Iterator[Any]:
    url = database_url(load_settings())
    with again_if_away(), ledger_cut(url) as heads:
        for observation in observations_of(heads):
            context.log_event(observation)
        statements = ModelStatements(context, project, url, heads)
        statements.note()
        yield from build_models(context, project, translator, url, heads, _days_of(context), statements.state)


def _days_of(context: dg.AssetExecutionContext) -> tuple[str, str] | None:
    """The run's days, as (first, day after the last)."""
    if not context.has_partition_key_range and not context.has_partition_key:
        return None
    keys = context.partition_key_range
    return keys.start, (date.fromisoformat(keys.end) + timedelta(days=1)).isoformat()
