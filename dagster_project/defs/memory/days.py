"""What every asset of memory begins with: the run's days, its cut of the ledger, its settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import dagster as dg

from dagster_project.defs.ledger.assets import metadata_of
from dagster_project.defs.ledger.store import Head, ledger_cut
from dagster_project.defs.runs import again_if_away
from precedent.db.embedded import database_url
from precedent.lineage.statement import Prefix
from precedent.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Cut:
    """Of the settings' chain: the run's days [first, after_last), and how many entries it reads."""

    settings: Settings
    url: str
    chain_id: UUID
    size: int
    first: date
    after_last: date
    heads: tuple[Head, ...]

    @property
    def prefix(self) -> Prefix:
        """What the run reads of the chain."""
        return next(Prefix(head.chain_id, head.size, head.root) for head in self.heads if head.chain_id == self.chain_id)

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        return datetime.combine(self.after_last, time(), UTC)

    def stated(self, **counts: int | str) -> dict[str, dg.MetadataValue]:
        """What the run states: the ledger prefix that it read, and its counts."""
        values = {
            name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.text(value) for name, value in counts.items()
        }
        return metadata_of(list(self.heads)) | values


@contextmanager
def cut_of(context: dg.AssetExecutionContext) -> Iterator[Cut]:
    """The cut, while no other run derives.

    Raises: JobRunning, DatabaseUnavailable.
    """
    settings = load_settings()
    url = database_url(settings)
    keys = context.partition_key_range
    after_last = date.fromisoformat(keys.end) + timedelta(days=1)
    with again_if_away(), ledger_cut(url) as heads:
        own = next(head for head in heads if head.chain == settings.chain)
        yield Cut(settings, url, own.chain_id, own.size, date.fromisoformat(keys.start), after_last, tuple(heads))
