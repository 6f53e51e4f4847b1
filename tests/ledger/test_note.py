"""Notes and checkpoints against one that is put together by hand, and against texts that are nearly right."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from precedent.ledger.note import Checkpoint, Note, SigningKey, VerifierKey, open_checkpoint

NAME = "example.org/log"
SEED = bytes(range(32))
KEY = SigningKey(NAME, SEED)
ROOT = sha256(b"root").digest()
HEAD = Checkpoint(NAME, 1207, ROOT)
GOLDEN = (
    "example.org/log\n1207\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n\n"
    "— example.org/log mK8CO9eJvw5YjOJdjboDqCSZlQlzWpFO3jJQ3tpHJBeVU01SFP7w5p5klNDenIDEaExFbkNh8CwaNegvtE5K8I3R+wc=\n"
)
VERIFIER = "example.org/log+98af023b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"


def by_hand(text: str, name: str = NAME, seed: bytes = SEED) -> str:
    """A note by the words of the specification, without the code it tests."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    key_id = sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    return f"{text}\n\u2014 {name} {b64encode(key_id + private.sign(text.encode())).decode()}\n"


def test_a_checkpoint_is_signed_as_the_golden_one() -> None:
    assert KEY.sign(str(HEAD)) == by_hand(str(HEAD)) == GOLDEN
    assert str(KEY.verifier) == VERIFIER
    assert VerifierKey.parse(VERIFIER) == KEY.verifier
    assert open_checkpoint(GOLDEN.encode(), KEY.verifier) == HEAD
    assert str(Note.parse(GOLDEN)) == GOLDEN


def test_the_text_may_have_empty_lines_and_other_signatures_are_ignored() -> None:
    text = "first\n\nsecond\n"
    other = by_hand(text, "other.example", bytes(32)).removeprefix(text + "\n")
    note = Note.parse(by_hand(text) + other)
    assert note.require_signed([KEY.verifier]) == text
    assert [one.name for one in note.signatures] == [NAME, "other.example"]


def test_every_changed_byte_is_refused() -> None:
    raw = GOLDEN.encode()
    for place in range(len(raw)):
        changed = raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1 :]
        with pytest.raises(ValueError):
            open_checkpoint(changed, KEY.verifier)
        with pytest.raises(ValueError):
            open_checkpoint(raw[:place] + raw[place + 1 :], KEY.verifier)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        GOLDEN.removesuffix("\n"),
        GOLDEN + "\n",
        GOLDEN + "more\n",
        GOLDEN.replace("\n", "\r\n"),
        GOLDEN.replace("1207", "12\t07"),
        GOLDEN.replace("— ", "- "),
        GOLDEN.replace("— ", "—  "),
        GOLDEN.replace("wc=\n", "wc\n"),
        GOLDEN.replace("wc=\n", "wd=\n"),
        GOLDEN.replace("\n\n", "\n"),
        "\n\n— a AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n— a AAAAAA==\n",
        "text\n\n" + "— a AAAAAAA=\n" * 65,
        "text\n" * 30_000 + "\n— a AAAAAAA=\n",
    ],
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(ValueError):
        Note.parse(note).require_signed([KEY.verifier])


@pytest.mark.parametrize(
    "text",
    [
        f"{NAME}\n1207\n",
        f"\n1207\n{b64encode(ROOT).decode()}\n",
        *(f"{NAME}\n{size}\n{b64encode(ROOT).decode()}\n" for size in ("", "01", "-1", "+1", "1.0", "٣", "1e3", "9" * 20, " 1")),
        f"{NAME}\n1207\n{b64encode(ROOT[:31]).decode()}\n",
        f"{NAME}\n1207\n{ROOT.hex()}\n",
        f"{NAME}\n1207\n{b64encode(ROOT).decode()}\nextension\n",
        f"{NAME}\n1207\n{b64encode(ROOT).decode()}",
    ],
)
def test_a_malformed_checkpoint_is_refused_although_it_is_signed(text: str) -> None:
    signed = by_hand(text if text.endswith("\n") else text + "\n")
    if text.endswith("\n"):
        with pytest.raises(ValueError):
            open_checkpoint(signed, KEY.verifier)
    with pytest.raises(ValueError):
        Checkpoint.parse(text)


def test_another_key_and_another_origin_are_refused() -> None:
    with pytest.raises(ValueError, match="no key that is known"):
        open_checkpoint(by_hand(str(HEAD), seed=bytes(32)), KEY.verifier)
    with pytest.raises(ValueError, match="no key that is known"):
        open_checkpoint(by_hand(str(HEAD), "example.org/other"), KEY.verifier)
    with pytest.raises(ValueError, match=r"is of example\.org/other"):
        open_checkpoint(by_hand(str(Checkpoint("example.org/other", 1, ROOT))), KEY.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NAME,
        VERIFIER.replace("+98", "+99"),
        VERIFIER.replace("+AQ", "+Ag"),
        VERIFIER[:-4],
        VERIFIER + "+",
        "a b" + VERIFIER,
        VERIFIER + "\n",
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b"])
def test_a_name_that_would_break_a_line_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        SigningKey(name, SEED)
