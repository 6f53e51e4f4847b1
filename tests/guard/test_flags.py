import os

import psycopg
import pytest
from deciding import size_of

from precedent.clock import SystemClock
from precedent.errors import FieldInvalid, IdempotencyKeyReused
from precedent.guard.flags import KILL_SWITCH, Flag, Flags, flag_draft, set_flag
from precedent.ledger.entry import Appended, Claimed
from precedent.ledger.idempotency import Claim
from precedent.settings import Settings


def test_absent_means_not_enabled_and_without_authority() -> None:
    flags = Flags({("finance", "approve_discount"): Flag(True, 2)})
    assert flags.of("finance", "approve_discount") == Flag(True, 2)
    assert flags.of("finance", "other") == flags.of("hr", "approve_discount") == Flag(False, 0)


@pytest.mark.parametrize(
    ("flags", "is_halted"), [({}, False), ({KILL_SWITCH: Flag(True, 3)}, False), ({KILL_SWITCH: Flag(False, 3)}, True)]
)
def test_the_kill_switch_halts_when_it_is_off(flags: dict[tuple[str, str], Flag], is_halted: bool) -> None:
    assert Flags(flags).is_halted is is_halted


@pytest.mark.parametrize(
    ("node", "action", "max_level", "reason", "pointer"),
    [
        ("finance", "approve_discount", 4, "r", "/max_level"),
        ("finance", "approve_discount", -1, "r", "/max_level"),
        ("finance", "approve_discount", 3, " ", "/reason"),
        ("", "approve_discount", 3, "r", "/node"),
        ("finance", "", 3, "r", "/action"),
        ("*", "approve_discount", 3, "r", "/node"),
        ("finance", "*", 3, "r", "/action"),
        ("fin\x00ance", "approve_discount", 3, "r", "/node"),
        ("finance", "Approve", 3, "r", "/action"),
        ("finance", "a" * 65, 3, "r", "/action"),
    ],
)
def test_a_flag_that_means_nothing_is_refused(node: str, action: str, max_level: int, reason: str, pointer: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        flag_draft(SystemClock(), node, action, is_enabled=True, max_level=max_level, reason=reason, principal="somebody")
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_a_flag_is_an_entry_and_the_last_one_holds(database_url: str, settings: Settings) -> None:
    first = set_flag(database_url, settings, "finance", "approve_discount", True, 3, "on", "somebody")
    second = set_flag(database_url, settings, "finance", "approve_discount", False, 1, "off", "another")
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
    assert (first.seq, second.seq) == (0, 1)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select enabled, max_level, reason, updated_by from precedent.node_flags").fetchall()
        epoch = connection.execute("select epoch from precedent.control_epoch").fetchall()
    assert rows == [(False, 1, "off", "another")]
    assert epoch == [(2,)]


def test_a_flag_under_a_key_is_set_once(database_url: str, settings: Settings) -> None:
    claim = Claim(os.urandom(32), os.urandom(32))
    first = set_flag(database_url, settings, *KILL_SWITCH, False, 3, "halt", "somebody", claim)
    again = set_flag(database_url, settings, *KILL_SWITCH, False, 3, "halt", "somebody", claim)
    assert isinstance(again, Claimed)
    assert again.entry_id == first.entry_id
    with pytest.raises(IdempotencyKeyReused):
        set_flag(database_url, settings, *KILL_SWITCH, True, 3, "resume", "somebody", Claim(claim.claim, os.urandom(32)))
    assert size_of(database_url) == 1
