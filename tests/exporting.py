"""A ledger with a tree over it, and exports of it, as a test wants them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sample_entries as sample

from precedent.db.engine import connect
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.export import Exported, export_ledger
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of

SEED = bytes(range(32))
AT = "2026-11-22T20:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class Covered:
    """A database whose entries a signed checkpoint covers; signer and anchor remember in `folder`."""

    url: str
    folder: Path

    @property
    def signer(self) -> Signer:
        with connect(self.url) as connection:
            return Signer(origin_of(chain_id_of(connection, "main")), SEED, self.folder / "signer")

    @property
    def anchor(self) -> FolderAnchor:
        return FolderAnchor(self.folder / "anchor")

    def integrate(self) -> None:
        """Everything that was appended, into one checkpoint or a few."""
        signer = self.signer
        with connect(self.url) as connection:
            chain_id = chain_id_of(connection, "main")
        integrator = Integrator(self.url, chain_id, signer, self.anchor)
        try:
            while integrator.step():
                pass
        finally:
            integrator.close()

    def append(self, count: int) -> None:
        sample.append_all(self.url, [sample.event(n) if n % 2 else sample.decision(n) for n in range(count)])
        self.integrate()

    def export(self, folder: Path, **options: Any) -> Exported:
        return export_ledger(self.url, folder, self.signer.verifier, exported_at=AT, **options)
