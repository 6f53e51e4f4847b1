"""A session's cookie is ours, untouched and not over, or it is none; and a form is of a page that was made for it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.errors import Forbidden, TokenUnknown
from precedent.guard.session import Session, open_session

KEY, OTHER = bytes(range(32)), bytes(32)
NOW_US = 1_790_000_000_000_000
ENDS = NOW_US // 1_000_000 + 60
SESSION = Session(b"\x01" * 32, b"\x02" * 16, ENDS)


def test_a_session_comes_back_as_it_was_sealed() -> None:
    assert open_session(KEY, SESSION.seal(KEY), NOW_US) == SESSION


def test_it_ends_by_itself() -> None:
    sealed = SESSION.seal(KEY)
    assert open_session(KEY, sealed, ENDS * 1_000_000 - 1) == SESSION
    with pytest.raises(TokenUnknown, match="ended"):
        open_session(KEY, sealed, ENDS * 1_000_000)


def test_another_installations_session_is_none() -> None:
    with pytest.raises(TokenUnknown):
        open_session(OTHER, SESSION.seal(KEY), NOW_US)


def test_no_byte_of_it_can_be_changed() -> None:
    sealed = SESSION.seal(KEY)
    body, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in sealed.split("."))
    for part, raw in ((0, body), (1, signature)):
        for place in range(len(raw)):
            changed = bytearray(raw)
            changed[place] ^= 1
            parts = sealed.split(".")
            parts[part] = base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("=")
            with pytest.raises(TokenUnknown):
                open_session(KEY, ".".join(parts), NOW_US)


@given(st.text(max_size=300))
def test_what_is_no_session_is_refused_and_never_an_error(text: str) -> None:
    with pytest.raises(TokenUnknown):
        open_session(KEY, text, NOW_US)


def test_the_token_is_not_in_the_cookie_and_forms_of_other_sessions_are_refused() -> None:
    other = Session(SESSION.token_hash, b"\x03" * 16, ENDS)
    SESSION.require_form_proof(KEY, SESSION.form_proof(KEY))
    for sent in ("", "x", other.form_proof(KEY), SESSION.form_proof(OTHER), SESSION.seal(KEY), "\u00fc"):
        with pytest.raises(Forbidden):
            SESSION.require_form_proof(KEY, sent)
