"""Going on after a rollback, or without a signing key that is lost: what a person decides, and the record says for ever.

    1. a `recovery` entry names each signed checkpoint that the database no longer continues, and what is there instead
    2. the signer's memory keeps the lost checkpoint beside it and remembers the head of now, entry included
    3. so does each anchor

Until 3 is done an API refuses to start; run again after a crash, the command finds its entry and goes on. No process that serves
requests can do any of this: its role may not append such an entry, and the signer is asked nothing but to sign what continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from precedent.clock import SystemClock
from precedent.db.engine import OWNER, transaction
from precedent.errors import FieldInvalid, LedgerBroken, NothingToRecover, SettingsInvalid
from precedent.ledger.anchor import Anchor
from precedent.ledger.continuity import MEMORY, StoredTree
from precedent.ledger.control_store import handovers_in, read_control
from precedent.ledger.entry import Appended, Kind, Section, draft_entry
from precedent.ledger.handover import spans_of
from precedent.ledger.integrate import origin_of
from precedent.ledger.note import Checkpoint, Note, VerifierKey, open_checkpoint
from precedent.ledger.projection_store import lock_chain
from precedent.ledger.signer import Signer
from precedent.ledger.signer_keys import KEY_NAME, NEXT_NAME, create_signer_key, promote_following_key
from precedent.ledger.signing import anchors_for, own_signer
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append
from precedent.settings import Settings

NEW_KEY = "new_key"
# Reading a large ledger again is no short transaction.
RECOVERY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A note that is kept outside the database: where, its checkpoint, and whether a key of now or before signed it."""

    where: str
    note: str
    checkpoint: Checkpoint
    is_known: bool

    @property
    def label(self) -> str:
        """Of the file that keeps it."""
        return f"lost-{self.checkpoint.size}-{self.checkpoint.root.hex()[:8]}"

    def as_core(self) -> dict[str, object]:
        return {"kept_in": self.where, "size": self.checkpoint.size, "root": self.checkpoint.root.hex(), "note": self.note}


@dataclass(frozen=True, slots=True)
class Recovered:
    """The entry that says so, and what it says is lost."""

    seq: int
    lost: tuple[Kept, ...]
    verifier: VerifierKey


def recover(url: str, settings: Settings, principal: str, reason: str, *, has_new_key: bool = False) -> Recovered:
    """Record what is lost and have signer and anchors go on from the database as it is.

    Run it where the keys and the anchors can be written, by a user who may use the owner's role, while nothing is appended.

    Raises: NothingToRecover where the database continues all that was signed; SettingsInvalid where the key is lost and
    `has_new_key` does not say so, or the other way round; FieldInvalid without a reason; LedgerBroken where the database
    contradicts itself, which no recovery mends.
    """
    if not reason.strip():
        raise FieldInvalid("a recovery needs a reason")
    with transaction(url, OWNER, RECOVERY_SECONDS) as connection:
        connection.execute(f"set local statement_timeout = {int(RECOVERY_SECONDS * 1000)}".encode())
        chain_id = chain_id_of(connection, settings.chain)
        signer = _signer(settings, chain_id, has_new_key)
        anchors = anchors_for(settings)
        lock_chain(connection, chain_id)
        tree = StoredTree.load(connection, chain_id)
        kept = _kept(connection, chain_id, signer, anchors)
        _require_key_fits(kept, has_new_key)
        lost = [one for one in kept if not one.is_known or not tree.is_beginning(one.checkpoint)]
        if not lost:
            raise NothingToRecover("the database continues all that was signed and anchored: there is nothing to recover from")
        seq = _record(connection, tree, lost, signer, principal, reason, has_new_key=has_new_key)
        after = StoredTree.load(connection, chain_id)
        head = Checkpoint(signer.origin, after.head, after.root_of(after.head))
    _go_on(signer, anchors, head, lost)
    return Recovered(seq, tuple(lost), signer.verifier)


def _signer(settings: Settings, chain_id: UUID, has_new_key: bool) -> Signer:
    """With `has_new_key` there is one afterwards: that of a rotation that was under way, else a new one, durable before it is named."""
    if has_new_key and settings.signer_key is None and not (settings.keys_path / KEY_NAME).exists():
        if (settings.keys_path / NEXT_NAME).exists():
            promote_following_key(settings.keys_path)
        else:
            create_signer_key(settings.keys_path)
    return own_signer(settings, origin_of(chain_id))


def _kept(connection: psycopg.Connection, chain_id: UUID, signer: Signer, anchors: Sequence[Anchor]) -> list[Kept]:
    """All that is kept outside; an anchor that can't be read stops the recovery, for it could not be told of it.

    Raises: LedgerBroken, OSError.
    """
    handovers = handovers_in(read_control(connection, chain_id))
    keys = [span.verifier for span in spans_of(signer.verifier, handovers)]
    notes = [(MEMORY, (signer.last_note() or b"").decode(errors="replace"))]
    notes += [(f"the anchor {anchor.name}", anchor.read(signer.origin) or "") for anchor in anchors]
    found = []
    for where, note in notes:
        if not note:
            continue
        try:
            found.append(Kept(where, note, open_checkpoint(note, *keys, *signer.verifiers), is_known=True))
        except ValueError:
            try:
                found.append(Kept(where, note, Checkpoint.parse(Note.parse(note).text), is_known=False))
            except ValueError as error:
                raise LedgerBroken(f"couldn't read the checkpoint in {where}: {error}. Put it away by hand, and keep it") from error
    return found


def _require_key_fits(kept: Sequence[Kept], has_new_key: bool) -> None:
    """Raises: SettingsInvalid."""
    is_lost = any(not one.is_known for one in kept)
    if is_lost and not has_new_key:
        where = ", ".join(one.where for one in kept if not one.is_known)
        raise SettingsInvalid(f"another key signed what is kept in {where}: bring that key back, or go on without it by --new-key")
    if has_new_key and not is_lost:
        raise SettingsInvalid("the key that signed the newest checkpoint is here: `precedent ledger rotate-signer` replaces it")


def _record(
    connection: psycopg.Connection,
    tree: StoredTree,
    lost: Sequence[Kept],
    signer: Signer,
    principal: str,
    reason: str,
    *,
    has_new_key: bool,
) -> int:
    """The seq of the entry that names all that is lost; the one of a run that was interrupted is taken."""
    wanted = {(one.checkpoint.size, one.checkpoint.root.hex()) for one in lost}
    for entry in read_control(connection, tree.chain_id):
        if entry.kind == Kind.RECOVERY and entry.core.get("verifier") == str(signer.verifier):
            named = {(one["size"], one["root"]) for one in entry.core.get("lost", [])}
            if wanted <= named and (entry.core.get("op") == NEW_KEY) == has_new_key:
                return entry.seq
    core: dict[str, object] = {
        "op": NEW_KEY if has_new_key else "rollback",
        "lost": [one.as_core() for one in lost],
        "found": {"size": tree.head, "root": tree.root_of(tree.head).hex()},
        "verifier": str(signer.verifier),
        "principal": principal,
        "reason": reason,
    }
    (answer,) = append(connection, tree.chain_id, [draft_entry(SystemClock(), Kind.RECOVERY, {Section.CORE: core})])
    if not isinstance(answer, Appended):
        raise LedgerBroken(f"a recovery entry was answered with {answer}")
    return answer.seq


def _go_on(signer: Signer, anchors: Sequence[Anchor], head: Checkpoint, lost: Sequence[Kept]) -> None:
    """Memory and anchors keep what is lost as evidence and take the head of now. The memory first: it is what signs."""
    by_place = {one.where: one for one in lost}
    with signer.alone():
        if MEMORY in by_place:
            signer.set_aside(by_place[MEMORY].label)
        note = (signer.last_note() or b"").decode()
        if MEMORY in by_place or not note:
            note = signer.begin_anew(head)
    for anchor in anchors:
        if (one := by_place.get(f"the anchor {anchor.name}")) is not None:
            anchor.set_aside(signer.origin, one.label)
            anchor.write(signer.origin, note)
