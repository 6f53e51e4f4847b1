"""The signer and the anchors that the settings name."""

from __future__ import annotations

from precedent.ledger.anchor import Anchor, anchors_of
from precedent.ledger.signer import Signer
from precedent.ledger.signer_keys import SeedSource, create_signer_key, seed_source
from precedent.ledger.signer_socket import SignerClient
from precedent.settings import Settings


def signer_of(settings: Settings, origin: str, *, create: bool = False) -> Signer | SignerClient:
    """Who signs for a process that need not reach the key. Raises: SettingsInvalid where the key has to be here and is not."""
    return (
        SignerClient(origin, settings.signer_socket_path) if settings.signer == "process" else own_signer(settings, origin, create=create)
    )


def own_signer(settings: Settings, origin: str, *, create: bool = False) -> Signer:
    """The signer in this process, which has to be able to read its key. Raises: SettingsInvalid."""
    return Signer(origin, seeds_of(settings, create=create), settings.signer_path)


def seeds_of(settings: Settings, *, create: bool = False) -> SeedSource:
    """The private keys. `create` makes the first one in development, unless another signed before: a lost key is an operator's matter."""
    configured = settings.signer_key.get_secret_value() if settings.signer_key else None
    if create and settings.mode == "development" and not configured and not any(settings.signer_path.glob("*.checkpoint")):
        create_signer_key(settings.keys_path)
    return seed_source(settings.keys_path, configured)


def anchors_for(settings: Settings) -> list[Anchor]:
    """Raises: SettingsInvalid."""
    return anchors_of(settings.anchor_places, settings.anchor_path)
