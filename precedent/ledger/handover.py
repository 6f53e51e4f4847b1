"""How one signing key is followed by another, so that whoever trusts the one comes to trust the other without asking anybody.

A `key` entry carries a note that both keys have signed: the old one vouches for the new, the new one shows that it is held. The
entry alone proves nothing, for who can append one holds no key; nor does a checkpoint that covers it, for that says what stands
in the ledger and not that it is right. Pure.

    <origin>
    signer handover
    <verifier key, old>
    <verifier key, new>
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from precedent.ledger.note import Note, SigningKey, VerifierKey, sign_note

ROTATE = "rotate_signer"
TITLE = "signer handover"  # stands where a checkpoint has its size: no note can be read as both


@dataclass(frozen=True, slots=True)
class Handover:
    """From the checkpoint that covers entry `seq` on, `verifier` signs in the place of `previous`."""

    seq: int
    previous: VerifierKey
    verifier: VerifierKey


@dataclass(frozen=True, slots=True)
class KeySpan:
    """A key, and the sizes of the trees whose checkpoints it signs: `first` and up, to `last` where another followed."""

    verifier: VerifierKey
    first: int
    last: int | None


def handover_core(previous: SigningKey, following: SigningKey, principal: str, reason: str) -> dict[str, object]:
    """The core of the entry that records a handover."""
    return {
        "op": ROTATE,
        "previous": str(previous.verifier),
        "verifier": str(following.verifier),
        "note": sign_note(_text(previous.verifier, following.verifier), previous, following),
        "principal": principal,
        "reason": reason,
    }


def read_handover(seq: int, core: Mapping[str, Any]) -> Handover:
    """The handover that an entry's core records, signed by both of its keys.

    Raises: ValueError for another core, other words, and a signature that is missing or wrong.
    """
    if core.get("op") != ROTATE or not all(isinstance(core.get(name), str) for name in ("previous", "verifier", "note")):
        raise ValueError("not a handover")
    previous, verifier = VerifierKey.parse(core["previous"]), VerifierKey.parse(core["verifier"])
    note = Note.parse(core["note"])
    for key in (previous, verifier):
        if note.require_signed([key]) != _text(previous, verifier):
            raise ValueError("the note of the handover says something else than its entry")
    return Handover(seq, previous, verifier)


def handovers_of(cores: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Handover]:
    """Those of (seq, core) that are handovers; anything else in them gives no key any trust."""
    found = []
    for seq, core in cores:
        try:
            found.append(read_handover(seq, core))
        except ValueError:
            continue
    return found


def spans_of(trusted: VerifierKey, handovers: Sequence[Handover]) -> tuple[KeySpan, ...]:
    """The keys that signed this tree, the oldest first, from one that is trusted: back to the first and on to the newest.

    A checkpoint that covers the entry of a handover must have the new key's signature: an old key that leaks later, or is kept,
    signs nothing more.
    """
    ordered = sorted(handovers, key=lambda one: one.seq)
    chain: list[Handover] = []
    key = trusted
    for one in reversed(ordered):
        if one.verifier == key and not (chain and one.seq >= chain[0].seq):
            chain.insert(0, one)
            key = one.previous
    first, key = key, trusted
    for one in ordered:
        if one.previous == key and not (chain and one.seq <= chain[-1].seq):
            chain.append(one)
            key = one.verifier
    spans, start = [], 0
    for one in chain:
        spans.append(KeySpan(one.previous, start, one.seq))
        start = one.seq + 1
    return (*spans, KeySpan(chain[-1].verifier if chain else first, start, None))


def key_for(size: int, spans: Sequence[KeySpan]) -> VerifierKey:
    """The key that must have signed a checkpoint of `size` entries."""
    return next(span.verifier for span in reversed(spans) if span.first <= size)


def _text(previous: VerifierKey, verifier: VerifierKey) -> str:
    """Raises: ValueError for keys of two origins, and for one that follows itself."""
    if previous.name != verifier.name or previous == verifier:
        raise ValueError("a handover is from one key of an origin to another")
    return f"{verifier.name}\n{TITLE}\n{previous}\n{verifier}\n"
