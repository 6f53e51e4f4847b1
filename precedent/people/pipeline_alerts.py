"""Messages about the pipeline. They name jobs, days and checks, and no error's words: an error may quote what is personal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from precedent.clock import Clock
from precedent.db.engine import PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.people.notify import now_of
from precedent.people.store import add_message, add_webhooks
from precedent.people.webhooks import JOB_FAILED

RUN_FAILED = "pipeline.run_failed"


@dataclass(frozen=True, slots=True)
class FailedRun:
    """`days` are its one day, or first and last, empty where it has none; `checks` are those that blocked, `steps` those that raised."""

    run_id: str
    job: str
    days: Sequence[str]
    checks: Sequence[str]
    steps: Sequence[str]
    page: str

    @property
    def why(self) -> str:
        if self.checks:
            return "not held: " + ", ".join(self.checks)
        return "failed in: " + ", ".join(self.steps) if self.steps else "its process ended"


def tell_failed_run(url: str, chain: str, run: FailedRun, clock: Clock) -> None:
    """Leave a message for whoever is on duty, and one for each webhook that asked; told again, it leaves none.

    Raises: DatabaseUnavailable, NotFound without the chain.
    """
    about = {"run_id": run.run_id, "job": run.job, "page": run.page}
    days = " to ".join(run.days) or "no days of its own"
    named = {"days": list(run.days), "checks": list(run.checks), "steps": list(run.steps), "recorded_us": clock.now_us()}
    with connect(url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, chain)
        add_message(connection, chain_id, RUN_FAILED, about | {"days": days, "why": run.why}, now_of(clock))
        add_webhooks(connection, chain_id, JOB_FAILED, about | named, now_of(clock))
        connection.commit()
