import uuid
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.errors import FieldInvalid, IdempotencyKeyReused
from precedent.ledger.entry import Claimed
from precedent.ledger.epoch_keys import HeldKeys
from precedent.ledger.idempotency import MAX_KEY_CHARS, claim_of
from precedent.ledger.keyring import Keyring

KEYRING = Keyring(bytes(32), HeldKeys({}))
BASE = ("principal", "POST", "/events", "key")


def test_each_part_of_a_claim_makes_it_another() -> None:
    claims = {claim_of(KEYRING, *BASE, b"").claim}
    for place in range(4):
        parts = [*BASE]
        parts[place] += "x"
        claims.add(claim_of(KEYRING, *parts, b"").claim)
    assert len(claims) == 5


@given(st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab"]), min_size=4, max_size=4, unique=False), st.integers(0, 2))
def test_letters_that_move_between_parts_make_another_claim(parts: list[str], place: int) -> None:
    moved = [*parts]
    moved[place], moved[place + 1] = parts[place] + parts[place + 1][0], parts[place + 1][1:] or "z"
    assert claim_of(KEYRING, *parts, b"").claim != claim_of(KEYRING, *moved, b"").claim


def test_the_body_is_no_part_of_the_claim_but_of_its_fingerprint() -> None:
    one, other = claim_of(KEYRING, *BASE, b"1"), claim_of(KEYRING, *BASE, b"2")
    assert one.claim == other.claim
    assert one.fingerprint != other.fingerprint
    assert claim_of(Keyring(b"\x01" * 32, HeldKeys({})), *BASE, b"1").fingerprint != one.fingerprint
    one.require_same_body(Claimed(uuid.uuid4(), one.fingerprint))
    with pytest.raises(IdempotencyKeyReused):
        one.require_same_body(Claimed(uuid.uuid4(), other.fingerprint))


def test_places_in_a_batch_are_claims_of_their_own() -> None:
    whole = claim_of(KEYRING, *BASE, b"1")
    places = [whole.at(place) for place in range(1000)]
    assert len({place.claim for place in places}) == 1000
    assert places[0] == whole
    assert all(one.fingerprint == other.fingerprint == whole.fingerprint for one, other in pairwise(places))


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY_CHARS + 1), "ü", "a\nb", "a\x7f", "\x00"])
def test_a_key_that_no_header_should_hold_is_refused(key: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        claim_of(KEYRING, "principal", "POST", "/events", key, b"")
    assert [fault.pointer for fault in caught.value.faults] == ["/header/idempotency-key"]


def test_a_key_may_have_spaces_and_every_printable_sign() -> None:
    assert len(claim_of(KEYRING, "principal", "POST", "/events", "".join(map(chr, range(32, 127))), b"").claim) == 32
