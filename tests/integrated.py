"""A database with a signer and an anchor beside it, and an integrator that starts and ends where a test wants it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from precedent.db.engine import connect
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of

SEED = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Integrated:
    """Signer and anchor remember in `folder`, where those of an installation at home there do."""

    url: str
    folder: Path

    @property
    def signer(self) -> Signer:
        with connect(self.url) as connection:
            return Signer(origin_of(chain_id_of(connection, "main")), SEED, self.folder / "signer")

    @property
    def anchor(self) -> FolderAnchor:
        return FolderAnchor(self.folder / "anchor")

    def integrator(self) -> Integrator:
        """A new one, as after a restart."""
        with connect(self.url) as connection:
            chain_id = chain_id_of(connection, "main")
        return Integrator(self.url, chain_id, self.signer, self.anchor)

    def integrate(self) -> None:
        """All that there is, by an integrator that starts and ends here."""
        integrate(self.integrator())


def integrate(integrator: Integrator) -> None:
    """All that there is; the integrator ends here."""
    try:
        while integrator.step():
            pass
    finally:
        integrator.close()
