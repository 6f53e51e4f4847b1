"""The epochs of the keys that personal data is sealed under, ended each month."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.keys.jobs import rotate_epoch, rotate_epoch_monthly

defs = dg.Definitions(jobs=[rotate_epoch], schedules=[rotate_epoch_monthly])
