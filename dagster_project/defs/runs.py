"""How steps run: one at a time where they derive, again where a server was away, and not again where that would change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from precedent.errors import BudgetSpent, EmbeddingRefused, JobRunning, LedgerBroken

# The queue starts no second run of these steps while one is under way (`concurrency` in dagster.yaml: one at a time). Where
# no queue is asked, the database's lock holds the same: see `ledger_cut`.
DERIVING = "deriving"

# A database that restarts or a server of models may be away for a moment; a repeat gives the same rows.
AGAIN = dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL)

# What libpq says, through dbt, when the server was lost or is not there yet.
AWAY = re.compile(
    r"closed the connection|terminating connection|connection (refused|failed|already closed|is lost)|starting up|shutting down",
    re.IGNORECASE,
)


@contextmanager
def again_if_away() -> Iterator[None]:
    """Around a step's body: what would fail again in the same way fails for good, whatever the step's retry policy.

    Raises: dagster.Failure in place of a broken ledger, a lock that others held, a budget that is spent, vectors that are refused, a
    failing model or test of dbt.
    """
    try:
        yield
    except (LedgerBroken, JobRunning, BudgetSpent, EmbeddingRefused) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except DagsterDbtCliRuntimeError as error:
        if AWAY.search(str(error)):
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
