"""A ledger with a tree over it, and exports of it, as a test wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sample_entries as sample
from integrated import Integrated

from precedent.ledger.export import Exported, export_ledger

AT = "2026-11-22T20:00:00.000000Z"


class Covered(Integrated):
    """A database whose entries a signed checkpoint covers."""

    def append(self, count: int) -> None:
        sample.append_all(self.url, [sample.event(n) if n % 2 else sample.decision(n) for n in range(count)])
        self.integrate()

    def export(self, folder: Path, **options: Any) -> Exported:
        return export_ledger(self.url, folder, self.signer.verifier, exported_at=AT, **options)
