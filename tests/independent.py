"""A second opinion on the ledger, from the standards' text and `docs/ledger.md` alone: it shares no code with what it judges."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def require_chain(rows: Sequence[tuple[int, bytes, bytes, bytes]], chain: bytes) -> None:
    """Rows are (seq, entry id, envelope, leaf) in order: no gap, no fork, no doubled entry, time increasing."""
    before, at = bytes(32), -1
    for number, (seq, entry_id, envelope, leaf) in enumerate(rows):
        assert seq == number, f"a gap before {seq}"
        assert len(envelope) == 114
        assert envelope[0] == 1
        assert envelope[2:18] == chain
        assert int.from_bytes(envelope[18:26]) == seq
        assert int.from_bytes(envelope[26:34]) > at
        assert envelope[34:50] == entry_id
        assert envelope[50:82] == before, f"a fork at {seq}"
        assert leaf == _hash(b"\x00", envelope)
        before, at = leaf, int.from_bytes(envelope[26:34])
    assert len({entry_id for _, entry_id, _, _ in rows}) == len(rows)


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to: RFC 6962-bis, by the count of inner and border nodes; None where it has another length."""
    if not 0 <= index < size:
        return None
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(path) != inner + border:
        return None
    found = leaf
    for level, step in enumerate(path[:inner]):
        found = _hash(b"\x01", step, found) if index >> level & 1 else _hash(b"\x01", found, step)
    for step in path[inner:]:
        found = _hash(b"\x01", step, found)
    return found


def is_continued(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether a path proves that the tree of `second` leaves begins with that of `first`, 0 < first < second.

    The consistency proof of RFC 6962, 2.1.2, is the inclusion path of the largest complete subtree that ends at `first`.
    """
    shift = (first & -first).bit_length() - 1
    if first & (first - 1) == 0:
        seed, rest = first_root, list(path)
    elif path:
        seed, rest = path[0], list(path[1:])
    else:
        return False
    index = (first - 1) >> shift
    inner = ((first - 1) ^ (second - 1)).bit_length() - shift
    if len(rest) != inner + (index >> inner).bit_count():
        return False
    old = new = seed
    for level, step in enumerate(rest[:inner]):
        if index >> level & 1:
            old, new = _hash(b"\x01", step, old), _hash(b"\x01", step, new)
        else:
            new = _hash(b"\x01", new, step)
    for step in rest[inner:]:
        old, new = _hash(b"\x01", step, old), _hash(b"\x01", step, new)
    return old == first_root and new == second_root


def open_note(note: str, origin: str, public_key: bytes) -> tuple[int, bytes]:
    """(size, root) of a signed checkpoint: C2SP signed-note and tlog-checkpoint.

    Raises: cryptography.exceptions.InvalidSignature; AssertionError where the text is none.
    """
    text, _, signatures = note.partition("\n\n")
    text += "\n"
    (line,) = signatures.splitlines()
    dash, name, encoded = line.split(" ")
    assert (dash, name) == ("—", origin)
    raw = base64.b64decode(encoded, validate=True)
    assert raw[:4] == _hash(origin.encode(), b"\n", b"\x01", public_key)[:4]
    Ed25519PublicKey.from_public_bytes(public_key).verify(raw[4:], text.encode())
    said, size, root = text.splitlines()[:3]
    assert said == origin
    return int(size), base64.b64decode(root, validate=True)
