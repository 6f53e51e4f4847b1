"""Signed notes and checkpoints as text: C2SP signed-note with Ed25519, and C2SP tlog-checkpoint without extension lines.

    <origin>
    <number of leaves>
    <root, base64>

    — <key name> base64(key id[4] || Ed25519 signature of all lines before the empty one)

    key id = SHA256(key name || 0x0A || 0x01 || public key)[:4]
    verifier key = <key name>+<key id, hex>+base64(0x01 || public key)

Pure, and strict: of each value there is one spelling, and every other is refused.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from precedent.ledger.merkle import HASH_BYTES

ED25519 = b"\x01"
DASH = "— "
MAX_NOTE_CHARS = 100_000
MAX_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a key, and the name it signs under."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(ED25519 + self.public_key)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Raises: ValueError for a text that is not of that form, or whose key id is another."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _unbase64(encoded)
        if raw[:1] != ED25519 or len(raw) != 33:
            raise ValueError("not a verifier key of Ed25519")
        _require_name(name)
        key = cls(name, raw[1:])
        if key.key_id.hex() != key_id:
            raise ValueError(f"the verifier key says its id is {key_id}, but it is {key.key_id.hex()}")
        return key

    def is_signed(self, text: str, signature: bytes) -> bool:
        """Whether this key made the signature over these very lines."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key and the name it signs under."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed` is the 32 bytes of RFC 8032. Raises: ValueError for a name with spaces or a plus."""
        _require_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note: `text`, whose last line ends, with our signature alone."""
        return sign_note(text, self)

    def signature(self, text: str) -> Signature:
        """Our signature over these very lines."""
        return Signature(self.verifier.name, self.verifier.key_id, self._key.sign(text.encode()))


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, taken apart; whether it holds is another question."""

    name: str
    key_id: bytes
    signature: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{DASH}{self.name} {_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures. Nothing in it is to be believed before `require_signed`."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    @classmethod
    def parse(cls, raw: str | bytes) -> Note:
        """Raises: ValueError naming what is not as C2SP signed-note says."""
        text = raw.decode() if isinstance(raw, bytes) else raw
        if len(text) > MAX_NOTE_CHARS:
            raise ValueError("the note is too long")
        if any(character < " " and character != "\n" for character in text):
            raise ValueError("the note holds a control character")
        body, gap, tail = text.rpartition("\n\n")
        if not gap or not body or not tail.endswith("\n"):
            raise ValueError("the note is not a text, an empty line and signature lines")
        lines = tail.split("\n")[:-1]
        if len(lines) > MAX_SIGNATURES:
            raise ValueError(f"the note has more than {MAX_SIGNATURES} signatures")
        return cls(body + "\n", tuple(_parse_signature(line) for line in lines))

    def require_signed(self, keys: Sequence[VerifierKey]) -> str:
        """The text, once one of `keys` has signed it and none of them has a signature here that is wrong.

        Raises: ValueError.
        """
        known = {(key.name, key.key_id): key for key in keys}
        is_signed = False
        for one in self.signatures:
            key = known.get((one.name, one.key_id))
            if key is None:
                continue
            if not key.is_signed(self.text, one.signature):
                raise ValueError(f"the signature of {key.name} is wrong")
            is_signed = True
        if not is_signed:
            raise ValueError("no key that is known has signed the note")
        return self.text


def sign_note(text: str, *keys: SigningKey) -> str:
    """The note: `text`, whose last line ends, with a signature of each key."""
    return str(Note(text, tuple(key.signature(text) for key in keys)))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a tree: whose it is, how many leaves, and their root."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Of the text of a note.

        Raises: ValueError naming what is not as C2SP tlog-checkpoint says, and for extension lines, which we never write.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise ValueError("a checkpoint has three lines: origin, size and root")
        origin, size, root = lines[0], lines[1], _unbase64(lines[2])
        if not origin:
            raise ValueError("the checkpoint has no origin")
        if not (size.isascii() and size.isdecimal()) or (size[0] == "0" and size != "0") or len(size) > 19:
            raise ValueError(f"'{size[:40]}' is no tree size")
        if len(root) != HASH_BYTES:
            raise ValueError(f"the root has {len(root)} bytes instead of {HASH_BYTES}")
        return cls(origin, int(size), root)


def open_checkpoint(note: str | bytes, *keys: VerifierKey) -> Checkpoint:
    """The checkpoint in a note, signed by one of `keys` for the origin that is their name.

    Raises: ValueError.
    """
    checkpoint = Checkpoint.parse(Note.parse(note).require_signed(keys))
    if any(key.name != checkpoint.origin for key in keys):
        raise ValueError(f"the checkpoint is of {checkpoint.origin}, not of {keys[0].name}")
    return checkpoint


def signer_in(note: str, keys: Sequence[VerifierKey]) -> VerifierKey | None:
    """The first of `keys` that a note names among its signatures; that it holds is for `open_checkpoint` to say.

    Raises: ValueError.
    """
    named = {(one.name, one.key_id) for one in Note.parse(note).signatures}
    return next((key for key in keys if (key.name, key.key_id) in named), None)


def _parse_signature(line: str) -> Signature:
    words = line.removeprefix(DASH).split(" ")
    if not line.startswith(DASH) or len(words) != 2:
        raise ValueError("a signature line is a dash, a key name and base64")
    _require_name(words[0])
    raw = _unbase64(words[1])
    if len(raw) <= 4:
        raise ValueError("a signature has more than the four bytes of its key id")
    return Signature(words[0], raw[:4], raw[4:])


def _require_name(name: str) -> None:
    if not name or "+" in name or not name.isprintable() or any(character.isspace() for character in name):
        raise ValueError("a key name is not empty and has no spaces, control characters or plus")


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def _unbase64(text: str) -> bytes:
    """Raises: ValueError for anything but the one spelling of RFC 4648, section 4."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"not base64: {error}") from error
    if _base64(raw) != text:
        raise ValueError("not base64 in its one spelling")
    return raw
