"""Group `memory`: snapshots of days, and vectors of decisions and snapshots, with the job and schedule that keep them current."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.memory.assets import decision_embeddings, knowledge_snapshots, snapshot_embeddings
from dagster_project.defs.memory.checks import every_precedent_is_placed, words_hold_no_foreign_number
from dagster_project.defs.memory.jobs import distill, distill_daily

defs = dg.Definitions(
    assets=[knowledge_snapshots, decision_embeddings, snapshot_embeddings],
    asset_checks=[words_hold_no_foreign_number, every_precedent_is_placed],
    jobs=[distill],
    schedules=[distill_daily],
)
