"""Messages about the pipeline. They name jobs, days and checks, and no error's words: an error may quote what is personal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from precedent.clock import Clock
from precedent.db.engine import PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.people.notify import now_of
from precedent.people.store import add_message

RUN_FAILED = "pipeline.run_failed"


@dataclass(frozen=True, slots=True)
class FailedRun:
    """`days` as people read them, empty where the run has none; `checks` are those that blocked, `steps` those that raised."""

    run_id: str
    job: str
    days: str
    checks: Sequence[str]
    steps: Sequence[str]
    page: str

    @property
    def why(self) -> str:
        if self.checks:
            return "not held: " + ", ".join(self.checks)
        return "failed in: " + ", ".join(self.steps) if self.steps else "its process ended"


def tell_failed_run(url: str, chain: str, run: FailedRun, clock: Clock) -> None:
    """Leave a message for whoever is on duty. Told again it is there twice: better than not at all.

    Raises: DatabaseUnavailable, NotFound without the chain.
    """
    payload = {"run_id": run.run_id, "job": run.job, "days": run.days or "no days of its own", "why": run.why, "page": run.page}
    with connect(url, PIPELINE) as connection:
        add_message(connection, chain_id_of(connection, chain), RUN_FAILED, payload, now_of(clock))
        connection.commit()
