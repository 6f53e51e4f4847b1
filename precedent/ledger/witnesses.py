"""What is kept outside the database and can contradict it: the signer's memory and the anchor, with the key that signs."""

from __future__ import annotations

from precedent.db.engine import connect
from precedent.errors import LedgerBroken
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.integrate import origin_of
from precedent.ledger.note import open_checkpoint
from precedent.ledger.signer import Signer, load_seed
from precedent.ledger.store import chain_id_of
from precedent.ledger.tree_check import Witnesses
from precedent.settings import Settings


def read_witnesses(url: str, settings: Settings) -> Witnesses:
    """Of the chain that the settings name; to be read before the database, which grows meanwhile.

    Raises: SettingsInvalid where the key is not at hand; LedgerBroken where what is kept is not what it signed; DatabaseUnavailable.
    """
    with connect(url) as connection:
        origin = origin_of(chain_id_of(connection, settings.chain))
    configured = settings.signer_key.get_secret_value() if settings.signer_key else None
    signer = Signer(origin, load_seed(settings.keys_path, configured, create=False), settings.signer_path)
    last, note = signer.last(), FolderAnchor(settings.anchor_path).read(origin)
    kept = [] if last is None else [("the signer's memory", last)]
    if note is not None:
        try:
            kept.append(("the anchor", open_checkpoint(note, signer.verifier)))
        except ValueError as error:
            raise LedgerBroken(f"couldn't read the anchored checkpoint of {origin}: {error}") from error
    return Witnesses(tuple(kept), (signer.verifier,))
