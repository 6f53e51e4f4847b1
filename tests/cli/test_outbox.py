"""`precedent outbox` on a real database, with a real HTTP server in Slack's place."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from sample_entries import append_all, decision
from typer.testing import CliRunner, Result

from precedent.cli.outbox import app


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    for name in ("PRECEDENT_SLACK_BOT_TOKEN", "SLACK_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Channel and text of what was posted; `#nowhere` does not exist."""
    posted: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            is_known = body["channel"] != "#nowhere"
            if is_known:
                posted.append((body["channel"], body["text"]))
            text = json.dumps(
                {"ok": True, "channel": "C1", "ts": "1.2"} if is_known else {"ok": False, "error": "channel_not_found"}
            ).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("PRECEDENT_SLACK_BOT_TOKEN", "xoxb-planted")
    monkeypatch.setenv("PRECEDENT_SLACK_BASE_URL", f"http://127.0.0.1:{server.server_port}/api")
    try:
        yield posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_without_a_token_nothing_is_delivered_and_it_says_how_many_wait(database_url: str) -> None:
    append_all(database_url, [decision(1), decision(2, verdict="escalate")])
    answer = run("drain")
    assert answer.exit_code == 0
    assert "Slack is off" in answer.output
    assert "waiting: 2" in answer.output
    assert "waiting: 2, dead: 0, delivered: 0" in run("show").output


def test_what_waits_is_posted_to_its_recipients_channel(database_url: str, slack: list[tuple[str, str]]) -> None:
    escalated = decision(2, verdict="escalate")
    append_all(database_url, [decision(1), escalated])
    answer = run("drain")
    assert (answer.exit_code, answer.output) == (0, "delivered: 2, failed and due again: 0, failed for the last time: 0\n")
    assert [channel for channel, _ in slack] == ["#sales", "#deal-desk"]
    assert str(escalated.entry_id) in slack[1][1]


def test_a_failure_is_counted_shown_and_told_by_the_exit_code(database_url: str, slack: list[tuple[str, str]]) -> None:
    append_all(database_url, [decision(1)])
    with psycopg.connect(database_url) as owner:
        owner.execute("""update precedent.outbox set payload = payload || '{"to": "NOWHERE"}'""")
    answer = run("drain")
    assert answer.exit_code == 1
    assert "failed and due again: 1" in answer.output
    assert "channel_not_found" in run("show").output
    assert "channel_not_found" not in run("show", "--dead").output
    assert slack == []
