"""Which keys signed a ledger's checkpoints, and which signed checkpoints it no longer continues: told to whoever checks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from precedent.db.engine import API, connect
from precedent.ledger.control_store import ControlEntry, handovers_in, read_control
from precedent.ledger.entry import Kind
from precedent.ledger.handover import spans_of
from precedent.ledger.integrate import origin_of
from precedent.ledger.note import VerifierKey
from precedent.ledger.signing import signer_of
from precedent.ledger.store import chain_id_of
from precedent.settings import Settings


def read_key_history(url: str, settings: Settings) -> dict[str, Any]:
    """`key_history` of the chain that the settings name. Raises: SettingsInvalid, SignerUnavailable, DatabaseUnavailable."""
    with connect(url, API) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        entries = read_control(connection, chain_id)
    return key_history(entries, signer_of(settings, origin_of(chain_id)).verifier)


def key_history(entries: Sequence[ControlEntry], current: VerifierKey) -> dict[str, Any]:
    """The keys that lead to `current` and on from it, the oldest first, each with the sizes of the trees that it signed.

    A key that came by a recovery begins anew, for none vouches for it.
    """
    spans = spans_of(current, handovers_in(entries))
    recoveries = [entry for entry in entries if entry.kind == Kind.RECOVERY]
    return {
        "keys": [{"verifier_key": str(span.verifier), "first_size": span.first, "last_size": span.last} for span in spans],
        "recoveries": [
            {
                "seq": entry.seq,
                "id": str(entry.entry_id),
                "op": entry.core.get("op"),
                "lost": entry.core.get("lost", []),
                "found": entry.core.get("found"),
                "verifier_key": entry.core.get("verifier"),
                "reason": entry.core.get("reason"),
            }
            for entry in recoveries
        ],
    }
