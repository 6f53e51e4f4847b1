"""Erasure on the command line: what it asks, what it refuses and in which words; none of them tells a pseudonym."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
import sample_entries as sample
from typer.testing import CliRunner

from precedent.cli.ledger import app
from precedent.errors import ErasureBarred, FieldInvalid, HoldNotFound, SubjectNotFound
from precedent.ledger.entry import NewSubject
from precedent.ledger.erasure_memory import FolderErasures
from precedent.ledger.keyring import load_keyring
from precedent.ledger.store import chain_id_of

NAME = "C-planted-0815"
WHY = ("--reason", "a reason")


@pytest.fixture
def url(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A record with one event of one person."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    keyring = load_keyring(tmp_path / "home" / "keys", "2026-11", create=True)
    subject = NewSubject(uuid4(), keyring.lookup_hash("subject", NAME), *keyring.wrap(bytes(32)))
    sample.append_all(database_url, [sample.event(1, subject=subject, personal=bytes(80))])
    return database_url


def run(*arguments: str, stdin: str | None = None, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.output


def left(url: str) -> int:
    with psycopg.connect(url) as connection:
        return len(connection.execute("select from ledger.section where is_personal").fetchall())


def test_it_says_what_it_would_do_and_asks(url: str) -> None:
    assert "1 personal sections, its key and its mapping" in run("erase", "--subject", f"subject:{NAME}", *WHY, "--dry-run")
    assert "destroy them for good?" in run("erase", "--subject", f"subject:{NAME}", *WHY, stdin="n\n", exit_code=1)
    assert left(url) == 1
    told = run("erase", "--subject", f"subject:{NAME}", *WHY, stdin="y\n")
    assert "erased by entry 1: 1 personal sections" in told
    assert NAME not in told
    assert left(url) == 0
    with pytest.raises(SubjectNotFound, match="it never was, or it was erased") as refusal:
        run("erase", "--subject", f"subject:{NAME}", *WHY, "--yes")
    assert NAME not in str(refusal.value)


def test_names_come_from_standard_input_too_and_a_name_without_a_type_is_refused(url: str) -> None:
    for given in (NAME, "-"):
        with pytest.raises(FieldInvalid, match=r"TYPE:PSEUDONYM|no subject was named") as refusal:
            run("erase", "--subject", given, *WHY, "--yes", stdin="\n")
        assert NAME not in str(refusal.value)
    with pytest.raises(SubjectNotFound, match="there is no such subject"):
        run("erase", "--subject", str(uuid4()), *WHY, "--yes")
    with pytest.raises(FieldInvalid, match="on one subject"):
        run("hold", "--subject", "-", *WHY, stdin="subject:one\nsubject:two\n")
    with pytest.raises(FieldInvalid, match="needs a reason"):
        run("erase", "--subject", f"subject:{NAME}", "--reason", " ", "--yes")
    named = run("erase", "--subject", f"subject:{NAME}", *WHY, "--dry-run").partition(":")[0]
    run("erase", "--subject", "-", "--subject", named, *WHY, "--yes", stdin=f"subject:{NAME}\n\nsubject:{NAME}\n")
    assert left(url) == 0


def test_of_several_none_is_erased_where_one_is_barred_or_unknown(url: str, tmp_path: Path) -> None:
    for other in (f"subject:{NAME}-other", str(uuid4())):
        with pytest.raises(SubjectNotFound):
            run("erase", "--subject", f"subject:{NAME}", "--subject", other, *WHY, "--yes")
    assert left(url) == 1
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
    assert FolderErasures(tmp_path / "home" / "anchor").read(chain_id) == []


def test_a_hold_is_placed_listed_and_lifted(url: str) -> None:
    told = run("hold", "--subject", f"subject:{NAME}", "--until", "2031-05-06T00:00:00Z", "--reason", "case 12")
    hold_id = UUID(told.split()[1])
    listed = run("holds")
    assert str(hold_id) in listed
    assert "2031-05-06 00:00" in listed
    assert NAME not in told + listed
    with pytest.raises(ErasureBarred, match=rf"legal hold {hold_id} \(case 12\) until 2031-05-06T00:00:00"):
        run("erase", "--subject", f"subject:{NAME}", *WHY, "--yes")
    run("lift", str(hold_id), *WHY)
    assert str(hold_id) not in run("holds")
    with pytest.raises(HoldNotFound):
        run("lift", str(hold_id), *WHY)
    run("erase", "--subject", f"subject:{NAME}", *WHY, "--yes")
    assert left(url) == 0


def test_a_node_can_be_held_and_a_hold_needs_one_of_both_an_end_to_come_and_a_reason(url: str) -> None:
    assert "stands" in run("hold", "--node", "hr", *WHY)
    assert "it is lifted" in run("holds")
    for arguments, words in (
        (("--node", "hr", "--subject", f"subject:{NAME}", *WHY), "on a --subject or on a --node"),
        (WHY, "on a --subject or on a --node"),
        (("--node", "hr", "--until", "2020-01-01T00:00:00Z", *WHY), "that is over"),
        (("--node", "hr", "--until", "tomorrow", *WHY), "is not written as"),
        (("--node", "hr", "--reason", " "), "needs a reason"),
    ):
        with pytest.raises(FieldInvalid, match=words):
            run("hold", *arguments)


def test_retention_is_set_listed_and_bars_with_its_date(url: str) -> None:
    assert "events/* is kept for 3650 days" in run("retain", "events", "*", "3650", *WHY)
    assert "events/*" in run("holds")
    with pytest.raises(ErasureBarred, match=r"retention of events/\* for 3650 days until 20"):
        run("erase", "--subject", f"subject:{NAME}", *WHY, "--dry-run")
    run("retain", "events", "*", "0", *WHY)
    run("erase", "--subject", f"subject:{NAME}", *WHY, "--yes")


def test_an_epoch_is_ended(url: str, tmp_path: Path) -> None:
    told = run("rotate-epoch", "--again")
    assert "1 wrapped anew; destroyed: epoch-2026-11" in told
    assert "no older key was there" in run("rotate-epoch")
    assert [path.name for path in (tmp_path / "home" / "keys").glob("epoch-*")] == [f"{told.split()[4].rstrip(':')}.key"]
