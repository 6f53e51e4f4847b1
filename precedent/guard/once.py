"""What is not recorded in the ledger and is to be done once all the same: by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from precedent.db.engine import API, transaction
from precedent.guard import store

LONGEST_SECONDS = 60.0


@contextmanager
def one_at_a_time(url: str, claim: bytes) -> Iterator[None]:
    """Nobody else is inside for the same claim. The database lets go when this process ends.

    Raises: DatabaseUnavailable, also where others take too long.
    """
    with transaction(url, API, LONGEST_SECONDS) as connection:
        connection.execute(store.ONE_AT_A_TIME, (claim,))
        yield
