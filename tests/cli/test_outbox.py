"""`precedent outbox` on a real database, with a real HTTP server in Slack's place."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from receiving import Receiver, answer_as_slack, receiving
from running_api import wait_until
from sample_entries import append_all, decision
from typer.testing import CliRunner, Result

from precedent.cli.outbox import app
from precedent.ledger.keyring import load_keyring
from precedent.settings import project_root

COUNT = 8  # Slack's rate limit lets five through at once, and one a second after that, from each process


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    for name in ("PRECEDENT_SLACK_BOT_TOKEN", "SLACK_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving(answer_as_slack) as receiver:
        monkeypatch.setenv("PRECEDENT_SLACK_BOT_TOKEN", "xoxb-planted")
        monkeypatch.setenv("PRECEDENT_SLACK_BASE_URL", f"{receiver.url}/api")
        yield receiver


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_without_a_token_nothing_is_delivered_and_it_says_how_many_wait(database_url: str) -> None:
    append_all(database_url, [decision(1), decision(2, verdict="escalate")])
    answer = run("drain")
    assert answer.exit_code == 0
    assert "Slack is off" in answer.output
    assert "waiting: 2" in answer.output
    assert "waiting: 2, dead: 0, delivered: 0" in run("show").output


def test_what_waits_is_posted_to_its_recipients_channel(database_url: str, slack: Receiver) -> None:
    escalated = decision(2, verdict="escalate")
    append_all(database_url, [decision(1), escalated])
    answer = run("drain")
    assert (answer.exit_code, answer.output) == (0, "delivered: 2, failed and due again: 0, failed for the last time: 0\n")
    assert [request.json["channel"] for request in slack.requests] == ["#sales", "#deal-desk"]
    assert str(escalated.entry_id) in slack.requests[1].json["text"]


def test_a_failure_is_counted_shown_and_told_by_the_exit_code(database_url: str, slack: Receiver) -> None:
    append_all(database_url, [decision(1)])
    with psycopg.connect(database_url) as owner:
        owner.execute("""update precedent.outbox set payload = payload || '{"to": "NOWHERE"}'""")
    answer = run("drain")
    assert answer.exit_code == 1
    assert "failed and due again: 1" in answer.output
    assert "channel_not_found" in run("show").output
    assert "channel_not_found" not in run("dead").output
    assert [request.json["channel"] for request in slack.requests] == ["#nowhere"]


def test_the_dead_are_shown_and_replayed_by_number_or_all(database_url: str, slack: Receiver) -> None:
    append_all(database_url, [decision(1), decision(2)])
    with psycopg.connect(database_url) as owner:
        [first, _] = [row[0] for row in owner.execute("update precedent.outbox set dead_at = now() returning id").fetchall()]
    assert "waiting: 0, dead: 2, delivered: 0" in run("dead").output
    assert run("drain").output.startswith("delivered: 0")
    assert CliRunner().invoke(app, ["replay"]).exit_code == 2
    assert CliRunner().invoke(app, ["replay", "1", "--all"]).exit_code == 2
    assert (run("replay", str(first)).output, run("replay", str(first), "999").exit_code) == ("due again: 1\n", 1)
    assert run("replay", "--all").output == "due again: 1\n"
    assert run("drain").output.startswith("delivered: 2")
    assert len(slack.requests) == 2


def test_two_processes_deliver_each_message_and_one_that_is_killed_loses_none(database_url: str, tmp_path: Path, slack: Receiver) -> None:
    load_keyring(tmp_path / "home" / "keys", "2026-11", create=True)
    drafts = [decision(number) for number in range(COUNT)]
    append_all(database_url, drafts)
    running = [subprocess.Popen([sys.executable, "-m", "precedent.cli.main", "outbox", "run"], cwd=project_root()) for _ in range(2)]
    try:
        slack.await_requests(2)
        running[0].kill()
        running[0].wait()
        # Half a minute passes: the lease of what the killed one held is over.
        with psycopg.connect(database_url) as owner:
            owner.execute("update precedent.outbox set next_attempt_at = now() where delivered_at is null")
        wait_until(lambda: "waiting: 0" in run("show").output, 60, "all to be delivered")
        running[1].send_signal(signal.SIGTERM)
        assert running[1].wait(timeout=30) == 0
    finally:
        for one in running:
            one.kill()
            one.wait()
    told = [request.json["text"] for request in slack.requests]
    assert all(sum(str(draft.entry_id) in text for text in told) >= 1 for draft in drafts)
    assert len(told) <= COUNT + 2, "what each held when the lease ended"
