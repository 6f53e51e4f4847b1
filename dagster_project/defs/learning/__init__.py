"""Group `learning`: what came of the versions that decided, described."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.learning.assets import variant_scorecards
from dagster_project.defs.learning.jobs import scorecards, scorecards_daily

defs = dg.Definitions(assets=[variant_scorecards], jobs=[scorecards], schedules=[scorecards_daily])
