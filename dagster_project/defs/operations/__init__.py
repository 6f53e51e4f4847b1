"""Whoever runs the pipeline is told when a run fails."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.operations.sensors import tell_failures

defs = dg.Definitions(sensors=[tell_failures])
