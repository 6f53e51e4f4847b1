"""Group `memory`: snapshots of days, vectors of decisions and snapshots, how precedents are searched; with their job and schedule."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.memory.assets import decision_embeddings, knowledge_snapshots, snapshot_embeddings
from dagster_project.defs.memory.checks import every_precedent_is_placed, words_hold_no_foreign_number
from dagster_project.defs.memory.jobs import distill, distill_daily
from dagster_project.defs.memory.recall import recall_is_high_enough, recall_probe

defs = dg.Definitions(
    assets=[knowledge_snapshots, decision_embeddings, snapshot_embeddings, recall_probe],
    asset_checks=[words_hold_no_foreign_number, every_precedent_is_placed, recall_is_high_enough],
    jobs=[distill],
    schedules=[distill_daily],
)
