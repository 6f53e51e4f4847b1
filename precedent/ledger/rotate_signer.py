"""Rotation of the signing key: another one takes its place, and whoever trusts the old one can follow.

    1. the new key is made durable beside the old one      from now on every checkpoint has both signatures
    2. a `key` entry records the handover, signed by both
    3. a checkpoint with both signatures covers the entry
    4. the new key takes the old one's place, which is gone

If we crash between any two, the same command goes on from there: the new key that lies there is taken, its entry is found, and
until step 4 whoever trusts the old key can check all that was signed. An integrator that runs reads the keys anew each time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from precedent.clock import SystemClock
from precedent.db.engine import API, OWNER, connect, transaction
from precedent.errors import FieldInvalid, LedgerBroken, ProofPending, SettingsInvalid
from precedent.ledger import tile_store
from precedent.ledger.control_store import handovers_in, read_control
from precedent.ledger.entry import Appended, Kind, Section, draft_entry
from precedent.ledger.handover import Handover, handover_core
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.note import Note, SigningKey, VerifierKey
from precedent.ledger.projection_store import lock_chain
from precedent.ledger.signer import Signer
from precedent.ledger.signer_keys import create_following_key, promote_following_key
from precedent.ledger.signing import anchors_for, own_signer
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append
from precedent.settings import Settings

WAIT_SECONDS = 30.0
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Rotated:
    """A handover that is done; `is_promoted` unless the keys come from the environment, where an operator does it."""

    handover: Handover
    is_promoted: bool


def rotate_signer(url: str, settings: Settings, principal: str, reason: str, wait_seconds: float = WAIT_SECONDS) -> Rotated:
    """Have the next key sign in the place of the current one. Run it where the keys can be read, by a user who may use the owner's role.

    Raises: FieldInvalid without a reason; SettingsInvalid; LedgerBroken; ProofPending where no checkpoint came to cover the entry
    in time: run again, it goes on.
    """
    if not reason.strip():
        raise FieldInvalid("a rotation needs a reason")
    with connect(url, API) as connection:
        chain_id = chain_id_of(connection, settings.chain)
    if settings.signer_key is None:
        own_signer(settings, origin_of(chain_id))  # there must be one to follow
        create_following_key(settings.keys_path)
    signer = own_signer(settings, origin_of(chain_id))
    keys = signer.keys
    if len(keys) < 2:
        raise SettingsInvalid(
            "couldn't rotate: PRECEDENT_SIGNER_KEY names one key; set it to `old,new` for every process, then run this again"
        )
    previous, following = keys
    handover = _record(url, chain_id, previous, following, principal, reason)
    _await_cover(url, chain_id, settings, signer, handover, wait_seconds)
    if settings.signer_key is None:
        with signer.alone():
            promote_following_key(settings.keys_path)
    return Rotated(handover, is_promoted=settings.signer_key is None)


def _record(url: str, chain_id: UUID, previous: SigningKey, following: SigningKey, principal: str, reason: str) -> Handover:
    """The handover's entry, appended where it does not stand there yet."""
    with transaction(url, OWNER) as connection:
        # Two operators at once: the second waits here, and finds the entry of the first.
        lock_chain(connection, chain_id)
        for found in handovers_in(read_control(connection, chain_id)):
            if (found.previous, found.verifier) == (previous.verifier, following.verifier):
                return found
        core = handover_core(previous, following, principal, reason)
        (answer,) = append(connection, chain_id, [draft_entry(SystemClock(), Kind.KEY, {Section.CORE: core})])
    if not isinstance(answer, Appended):
        raise LedgerBroken(f"a key entry was answered with {answer}")
    return Handover(answer.seq, previous.verifier, following.verifier)


def _await_cover(url: str, chain_id: UUID, settings: Settings, signer: Signer, handover: Handover, wait_seconds: float) -> None:
    """Until a checkpoint with both signatures covers the handover; made here where nobody else integrates.

    Raises: ProofPending.
    """
    integrator = Integrator(url, chain_id, signer, *anchors_for(settings))
    until = time.monotonic() + wait_seconds
    try:
        while True:
            integrator.step()
            with connect(url, API) as connection:
                size, _, note = tile_store.read_newest_checkpoint(connection, chain_id) or (0, b"", "")
            if size > handover.seq and _has_signed(note, handover.previous) and _has_signed(note, handover.verifier):
                return
            if time.monotonic() > until:
                raise ProofPending("the handover is recorded, but no checkpoint covers it yet: run this again to finish")
            time.sleep(PAUSE_SECONDS)
    finally:
        integrator.close()


def _has_signed(note: str, key: VerifierKey) -> bool:
    try:
        Note.parse(note).require_signed([key])
    except ValueError:
        return False
    return True
