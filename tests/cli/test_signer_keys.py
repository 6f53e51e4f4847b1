"""`precedent ledger rotate-signer`, `recover` and `keys`, as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest
from kept_ledger import ROLL_BACK, Ledger
from ledger_command import run_ledger

from precedent.settings import Settings

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger(database_url: str, settings: Settings) -> Ledger:
    made = Ledger(database_url, settings)
    made.append(300)
    return made


@pytest.fixture
def command(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `precedent ledger …`: its exit code, what it printed, and what it complained of."""
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", ledger.url)
    monkeypatch.setenv("PRECEDENT_HOME", str(ledger.settings.home_dir))

    def call(*arguments: str) -> tuple[int, str, str]:
        return run_ledger(monkeypatch, capsys, *arguments)

    return call


def test_a_key_is_rotated_and_both_are_told(ledger: Ledger, command: Command) -> None:
    first = ledger.key()
    code, said, _ = command("rotate-signer", "--reason", "as every year")
    assert code == 0
    assert f"entry 300 records that {ledger.key()} follows {first}" in said
    assert "back it up" in said
    told = json.loads(command("keys", "--json")[1])
    assert [(key["verifier_key"], key["first_size"], key["last_size"]) for key in told["keys"]] == [
        (str(first), 0, 300),
        (str(ledger.key()), 301, None),
    ]
    assert f"{first}  for checkpoints of 0 to 300 entries" in command("keys")[1]
    code, said, _ = command("verify")
    assert code == 0, said


def test_what_is_lost_is_named_and_the_record_goes_on(ledger: Ledger, command: Command) -> None:
    code, _, complaint = command("recover", "--reason", "to be sure")
    assert (code, "nothing to recover from" in complaint) == (1, True)
    ledger.append(300)
    with psycopg.connect(ledger.url) as connection:
        connection.execute(ROLL_BACK.encode())
    assert command("verify")[0] == 1
    code, said, _ = command("recover", "--reason", "the disk died")
    assert (code, said.count("lost: the checkpoint of 600 entries")) == (0, 2)
    assert "entry 300 records it" in said
    assert "entry 300: rollback, 2 signed checkpoints lost: the disk died" in command("keys")[1]
    ledger.append(1)
    code, said, _ = command("verify")
    assert code == 0, said
