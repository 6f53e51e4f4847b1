"""Makes the projections of a chain anew from its entries, by the functions that the append itself calls."""

from __future__ import annotations

from collections.abc import Callable

from precedent.db.engine import OWNER, connect
from precedent.ledger.entry_store import read_head
from precedent.ledger.projection_store import empty_projections, lock_chain, project_range
from precedent.ledger.store import chain_id_of

RANGE_ENTRIES = 4096


def rebuild_projections(url: str, chain: str = "main", *, on_progress: Callable[[int, int], None] | None = None) -> int:
    """Empty the projections of a chain and fill them from its entries, in one transaction; how many entries it read.

    Appends wait meanwhile; readers see the old rows until the commit. Nothing is sent again: outbox and idempotency stay.
    The entries are taken at their word: verify them first.

    Raises: DatabaseUnavailable; SettingsInvalid where no chain has that name.
    """
    with connect(url, OWNER) as connection:
        chain_id = chain_id_of(connection, chain)
        lock_chain(connection, chain_id)
        head = read_head(connection, chain_id)
        size = 0 if head is None else head[0] + 1
        empty_projections(connection, chain_id)
        for first in range(0, size, RANGE_ENTRIES):
            project_range(connection, chain_id, first, first + RANGE_ENTRIES - 1)
            if on_progress:
                on_progress(min(first + RANGE_ENTRIES, size), size)
    return size
