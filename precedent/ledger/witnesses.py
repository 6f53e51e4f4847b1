"""What is kept outside the database and can contradict it: the signer's memory and the anchors, with the keys that sign."""

from __future__ import annotations

from collections.abc import Sequence

from precedent.db.engine import connect
from precedent.ledger.anchor import Anchors
from precedent.ledger.continuity import witnesses_of
from precedent.ledger.control_store import ControlEntry, handovers_in, read_control
from precedent.ledger.entry import Kind
from precedent.ledger.handover import spans_of
from precedent.ledger.integrate import origin_of
from precedent.ledger.note import VerifierKey
from precedent.ledger.recover import NEW_KEY
from precedent.ledger.signing import anchors_for, signer_of
from precedent.ledger.store import chain_id_of
from precedent.ledger.tree_check import Witnesses
from precedent.settings import Settings


def read_witnesses(url: str, settings: Settings) -> Witnesses:
    """Of the chain that the settings name; to be read before the database, which grows meanwhile.

    Raises: SettingsInvalid where the key is not at hand; SignerUnavailable; LedgerBroken where what is kept is not what these keys
    signed; DatabaseUnavailable.
    """
    with connect(url) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        signer = signer_of(settings, origin_of(chain_id))
        kept = [(one.name, one.checkpoint) for one in witnesses_of(connection, chain_id, signer, Anchors(anchors_for(settings)))]
        entries = read_control(connection, chain_id)
    spans = spans_of(signer.verifiers[0], handovers_in(entries))
    return Witnesses(tuple(kept), spans, _first_signed(entries, spans[0].verifier))


def _first_signed(entries: Sequence[ControlEntry], oldest: VerifierKey) -> int:
    """The size from which on the known keys sign: those before a lost key was replaced can't be judged by signature."""
    begun = (entry for entry in entries if entry.kind == Kind.RECOVERY and entry.core.get("op") == NEW_KEY)
    return next((entry.seq + 1 for entry in begun if entry.core.get("verifier") == str(oldest)), 0)
