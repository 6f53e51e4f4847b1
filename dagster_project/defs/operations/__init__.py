"""What is asked for beside the schedules: days that changed late are computed again, and people are told when a run fails."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.operations.late_days import new_outcomes
from dagster_project.defs.operations.sensors import tell_failures

defs = dg.Definitions(sensors=[new_outcomes, tell_failures])
