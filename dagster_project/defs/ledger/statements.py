"""Around the writing of an asset's rows: its partitions are noted before, and stated in the ledger after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import dagster as dg

from precedent.clock import SystemClock
from precedent.lineage.state import Maker, note_due, state_due
from precedent.lineage.statement import Prefix


@contextmanager
def stating(
    context: dg.AssetExecutionContext, url: str, prefixes: Sequence[Prefix], name: str, maker: Maker, today: date | None = None
) -> Iterator[None]:
    """Rows of the run's days are written inside; of an asset without days in Dagster, those of `today`. Where that fails, what it wrote
    is stated by the next run.
    """
    days = [today] if today else [date.fromisoformat(key) for key in context.partition_keys]
    for prefix in prefixes:
        note_due(url, prefix.chain_id, [name], days)
    yield
    state(context, url, prefixes, name, maker, today)


def state(
    context: dg.AssetExecutionContext, url: str, prefixes: Sequence[Prefix], name: str, maker: Maker, today: date | None = None
) -> None:
    """State what is due of an asset, and tell Dagster the digest and the entry of each of the run's partitions, or of `today`."""
    key, added = dg.AssetKey(name), 0
    own = set(context.partition_keys) if context.assets_def.get_asset_spec(key).partitions_def else set()
    for prefix in prefixes:
        stated = state_due(url, prefix, name, maker, SystemClock())
        added += stated.added_count
        for partition in own & stated.partitions.keys():
            digest, seq = stated.partitions[partition]
            context.add_asset_metadata({"digest": digest, "entry": seq}, key, partition)
        if today and today.isoformat() in stated.partitions:
            digest, seq = stated.partitions[today.isoformat()]
            context.add_asset_metadata({"stated_as": today.isoformat(), "digest": digest, "entry": seq}, key)
    context.add_asset_metadata({"statements": added}, key)
