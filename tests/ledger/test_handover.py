"""Trust in one key leads to the others, and nothing that a database alone can say does."""

from __future__ import annotations

import pytest

from precedent.ledger.handover import Handover, handover_core, handovers_of, key_for, read_handover, spans_of
from precedent.ledger.note import SigningKey, sign_note

ORIGIN = "precedent/test"
FIRST, SECOND, THIRD, STRANGER = (SigningKey(ORIGIN, bytes([n]) * 32) for n in range(1, 5))


def core(old: SigningKey, new: SigningKey) -> dict[str, object]:
    return handover_core(old, new, "operator", "a year has passed")


ROTATIONS = handovers_of([(10, core(FIRST, SECOND)), (25, core(SECOND, THIRD))])


@pytest.mark.parametrize("trusted", [FIRST, SECOND, THIRD])
def test_each_key_leads_to_all_the_others_and_each_signs_its_own_sizes(trusted: SigningKey) -> None:
    spans = spans_of(trusted.verifier, ROTATIONS)
    assert [(span.verifier, span.first, span.last) for span in spans] == [
        (FIRST.verifier, 0, 10),
        (SECOND.verifier, 11, 25),
        (THIRD.verifier, 26, None),
    ]
    assert [key_for(size, spans) for size in (1, 10, 11, 25, 26, 999)] == [
        key.verifier for key in (FIRST, FIRST, SECOND, SECOND, THIRD, THIRD)
    ]


def test_a_key_without_rotations_signs_everything() -> None:
    (span,) = spans_of(FIRST.verifier, [])
    assert (span.verifier, span.first, span.last) == (FIRST.verifier, 0, None)
    (span,) = spans_of(STRANGER.verifier, ROTATIONS)
    assert span.verifier == STRANGER.verifier


def test_a_handover_that_the_old_key_has_not_signed_gives_no_trust() -> None:
    true = core(FIRST, SECOND)
    forged = core(STRANGER, STRANGER_TWO := SigningKey(ORIGIN, bytes(32)))
    changed = [
        true | {"verifier": str(STRANGER.verifier)},
        true | {"previous": str(STRANGER.verifier)},
        true | {"note": forged["note"]},
        true | {"op": "signer"},
        true | {"note": 7},
        forged | {"previous": str(FIRST.verifier)},
        # Signed by the new key alone, and words that are not those of a handover signed by both.
        true | {"note": sign_note(str(true["note"]).split("\n\n")[0] + "\n", SECOND)},
        true | {"note": sign_note("precedent/test\n9\nAAAA\n", FIRST, SECOND)},
        {},
    ]
    for one in changed:
        with pytest.raises(ValueError):
            read_handover(3, one)
    assert handovers_of([(3, one) for one in changed]) == []
    assert read_handover(3, true) == Handover(3, FIRST.verifier, SECOND.verifier)
    assert spans_of(FIRST.verifier, handovers_of([(3, forged)]))[-1].verifier == FIRST.verifier
    assert STRANGER_TWO.verifier != FIRST.verifier


def test_a_key_that_was_followed_does_not_come_back() -> None:
    """A retired key that leaked signs a handover of its own: those that trust the record's keys don't follow it."""
    again = handovers_of([(40, core(FIRST, STRANGER))])
    assert [span.verifier for span in spans_of(THIRD.verifier, [*ROTATIONS, *again])] == [FIRST.verifier, SECOND.verifier, THIRD.verifier]
    assert [span.verifier for span in spans_of(FIRST.verifier, [*ROTATIONS, *again])] == [FIRST.verifier, SECOND.verifier, THIRD.verifier]


def test_keys_of_two_origins_follow_none() -> None:
    other = SigningKey("precedent/other", bytes([2]) * 32)
    with pytest.raises(ValueError, match="of an origin"):
        core(FIRST, other)
    with pytest.raises(ValueError, match="of an origin"):
        core(FIRST, FIRST)
