"""The job `rotate_epoch` and its schedule: in each month once, on the first morning on which the machine is on.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

import dagster as dg

from precedent.clock import SystemClock
from precedent.db.embedded import database_url
from precedent.errors import DatabaseUnavailable, SettingsInvalid
from precedent.ledger.keyring import open_keyring
from precedent.ledger.rotate_epoch import is_due
from precedent.ledger.rotate_epoch import rotate_epoch as rotate
from precedent.settings import load_settings

PRINCIPAL = "schedule"


@dg.op(description="Wraps subjects' keys under this month's key, and destroys the one before.")
def end_epoch(context: dg.OpExecutionContext) -> None:
    settings = load_settings()
    done = rotate(database_url(settings), open_keyring(settings).epochs, PRINCIPAL, SystemClock())
    context.add_output_metadata({"epoch": done.epoch, "rewrapped": done.rewrapped, "destroyed": list(done.destroyed)})


@dg.job(description="Ends the epoch of the keys: backups from before stay dark for whoever was erased since.")
def rotate_epoch() -> None:
    end_epoch()


@dg.schedule(
    job=rotate_epoch,
    cron_schedule="30 6 * * *",
    execution_timezone=load_settings().time_zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def rotate_epoch_monthly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Asked each morning, so that a machine that was off on the first of a month, or a run that failed, is caught up with."""
    settings = load_settings()
    try:
        epochs = open_keyring(settings).epochs
        if not is_due(database_url(settings), epochs, SystemClock()):
            return dg.SkipReason("subjects' keys are under this month's key, or there are none")
    except SettingsInvalid as error:
        return dg.SkipReason(f"the keys are not here: run `precedent ledger rotate-epoch` where they are ({error})")
    except DatabaseUnavailable as error:
        return dg.SkipReason(str(error))
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat())
