"""A ledger with its signer and anchors on disk, integrated whenever it grows, and what takes its database back."""

from __future__ import annotations

import psycopg
import sample_entries as sample
from integrated import integrate

from precedent.db.engine import connect
from precedent.ledger.control_store import handovers_in, read_control
from precedent.ledger.handover import key_for, spans_of
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.note import VerifierKey, open_checkpoint
from precedent.ledger.signing import anchors_for, own_signer
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.witnesses import read_witnesses
from precedent.settings import Settings

# What restoring an older backup does to a record of events.
ROLL_BACK = (
    "".join(
        f"alter table ledger.{table} disable trigger user; delete from ledger.{table} where {beyond}; "
        for table, beyond in (("checkpoint", "size > 300"), ("tile", "number > 0"), ("entry", "seq >= 300"), ("section", "seq >= 300"))
    )
    + "delete from precedent.events where seq >= 300"
)


class Ledger:
    """A database with settings, and an integrator that starts and ends at each call."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.settings = settings
        with connect(url) as connection:
            self.chain_id = chain_id_of(connection, "main")
        self.origin = origin_of(self.chain_id)

    def integrator(self) -> Integrator:
        return Integrator(self.url, self.chain_id, own_signer(self.settings, self.origin, create=True), *anchors_for(self.settings))

    def append(self, count: int) -> None:
        self.append_only(count)
        integrate(self.integrator())

    def append_only(self, count: int) -> None:
        """Without a checkpoint that covers them."""
        sample.append_all(self.url, [sample.event(n) for n in range(count)])

    def key(self) -> VerifierKey:
        return own_signer(self.settings, self.origin, create=True).verifier

    def notes(self) -> list[tuple[int, str]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute("select size, note from ledger.checkpoint order by size").fetchall()

    def require_followed(self, trusted: VerifierKey) -> None:
        """As an auditor with one key: every checkpoint is signed by the key that must have signed it, and all is intact."""
        with connect(self.url) as connection:
            spans = spans_of(trusted, handovers_in(read_control(connection, self.chain_id)))
        for size, note in self.notes():
            assert open_checkpoint(note, key_for(size, spans)).size == size
        self.integrator().require_continued()
        self.require_intact()

    def require_intact(self) -> None:
        """By the entries, and by what memory and anchors keep."""
        report = verify_database(self.url, processes=1, witnesses=read_witnesses(self.url, self.settings))
        assert report.is_intact, report
        assert report.witnesses
