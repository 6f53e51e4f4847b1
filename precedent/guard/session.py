"""Sessions of people at the pages: a signed cookie that stands for a token, without holding it.

The cookie carries the token's hash, by which the database still knows every time whether it is valid, and with which scopes;
nobody can call the API with it. It ends by itself, and with the token. Every form that changes something carries a proof that
our own page made it for this very session.
"""

from __future__ import annotations

import binascii
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from precedent.errors import Forbidden, TokenUnknown

COOKIE = "precedent_session"
SESSION_SECONDS = 8 * 3600
ID_BYTES = 16

_BODY = struct.Struct(f">B32s{ID_BYTES}sQ")  # version, hash of the token, id, end in seconds since 1970
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in, until `ends_at_seconds` since 1970."""

    token_hash: bytes
    session_id: bytes
    ends_at_seconds: int

    def seal(self, key: bytes) -> str:
        """The cookie's value."""
        body = _BODY.pack(_VERSION, self.token_hash, self.session_id, self.ends_at_seconds)
        return f"{_text(body)}.{_text(_sign(key, b'cookie', body))}"

    def form_proof(self, key: bytes) -> str:
        """What a form of our own pages carries."""
        return _sign(key, b"form", self.session_id).hex()

    def require_form_proof(self, key: bytes, sent: str) -> None:
        """Raises: Forbidden where the form is not of a page that was made for this session."""
        if not hmac.compare_digest(self.form_proof(key).encode(), sent.encode()):
            raise Forbidden("this form was not made for this session: load the page again")


def open_session(key: bytes, sealed: str, now_us: int) -> Session:
    """The session in a cookie.

    Raises: TokenUnknown where it was not signed by this key, or has ended.
    """
    body_text, _, signature_text = sealed.partition(".")
    try:
        body, signature = _bytes(body_text), _bytes(signature_text)
    except (ValueError, binascii.Error) as error:
        raise TokenUnknown("this is no session: sign in") from error
    if not hmac.compare_digest(signature, _sign(key, b"cookie", body)):
        raise TokenUnknown("this is no session: sign in")
    version, token_hash, session_id, ends_at_seconds = _BODY.unpack(body)
    if version != _VERSION or now_us >= ends_at_seconds * 1_000_000:
        raise TokenUnknown("the session has ended: sign in again")
    return Session(token_hash, session_id, ends_at_seconds)


def _sign(key: bytes, purpose: bytes, message: bytes) -> bytes:
    return hmac.digest(key, purpose + b"\x00" + message, "sha256")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Raises: ValueError, binascii.Error for what `_text` does not write."""
    if not text.isascii() or len(text) > 256:
        raise ValueError("not our text")
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(raw) != text:
        raise ValueError("not our text")
    return raw
