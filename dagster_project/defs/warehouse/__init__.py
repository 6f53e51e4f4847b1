"""Group `warehouse`: the dbt models, their tests as checks, and the job and schedule that keep them current."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.warehouse.assets import dbt_models
from dagster_project.defs.warehouse.jobs import aggregator, aggregator_daily

defs = dg.Definitions(assets=[dbt_models], jobs=[aggregator], schedules=[aggregator_daily])
