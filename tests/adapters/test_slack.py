"""Against a real HTTP server on loopback that answers as Slack's Web API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable, Calls, Context, Health, RateLimit, Retries
from precedent.adapters.slack import PostMessage, SlackAdapter, slack_of
from precedent.clock import SystemClock
from precedent.errors import SettingsInvalid
from precedent.settings import load_settings

POSTED = (200, {}, {"ok": True, "channel": "C01", "ts": "1763840052.000100"})


@dataclass
class Slack:
    """What the server was asked, and what it will answer: one answer a request, the last one for ever."""

    url: str
    answers: list[tuple[int, dict[str, str], object]] = field(default_factory=lambda: [POSTED])
    requests: list[tuple[str, dict[str, str], dict[str, object]]] = field(default_factory=list)


@pytest.fixture
def slack() -> Iterator[Slack]:
    heard = Slack("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, answer = heard.answers.pop(0) if len(heard.answers) > 1 else heard.answers[0]
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def adapter(slack: Slack, pauses: list[float]) -> Iterator[SlackAdapter]:
    clock = SystemClock()
    calls = Calls("slack", clock, RateLimit(1000.0, 1000, clock), Retries(), pauses.append)
    made = SlackAdapter("xoxb-planted", slack.url, clock, calls=calls)
    yield made
    made.close()


def test_a_message_is_posted_with_token_correlation_id_and_key(slack: Slack, adapter: SlackAdapter) -> None:
    posted = adapter.invoke(PostMessage("#cfo", "look at this", idempotency_key="outbox-7"), Context("cid-1"))
    assert (posted.channel, posted.ts) == ("C01", "1763840052.000100")
    [(path, headers, body)] = slack.requests
    assert path == "/api/chat.postMessage"
    assert headers["authorization"] == "Bearer xoxb-planted"
    assert headers["x-cid"] == "cid-1"
    assert (body["channel"], body["text"]) == ("#cfo", "look at this")
    assert body["metadata"] == {"event_type": "precedent_message", "event_payload": {"idempotency_key": "outbox-7"}}


def test_markup_in_a_text_is_escaped(slack: Slack, adapter: SlackAdapter) -> None:
    adapter.notify("#cfo", "<!channel> a & b")
    assert slack.requests[0][2]["text"] == "&lt;!channel&gt; a &amp; b"


def test_a_refusal_is_raised_with_slacks_code_and_not_tried_again(slack: Slack, adapter: SlackAdapter) -> None:
    slack.answers = [(200, {}, {"ok": False, "error": "channel_not_found"})]
    with pytest.raises(AdapterRefused) as caught:
        adapter.notify("#nowhere", "hello")
    assert caught.value.reason == "channel_not_found"
    assert len(slack.requests) == 1


def test_too_many_messages_wait_as_long_as_slack_asks(slack: Slack, adapter: SlackAdapter, pauses: list[float]) -> None:
    slack.answers = [(429, {"retry-after": "3"}, {"ok": False, "error": "ratelimited"}), POSTED]
    assert adapter.notify("#cfo", "hello").channel == "C01"
    assert pauses == [3.0]


@pytest.mark.parametrize("answer", [(503, {}, b"upstream"), (200, {}, {"ok": False, "error": "internal_error"})])
def test_a_passing_fault_is_tried_again(
    slack: Slack, adapter: SlackAdapter, pauses: list[float], answer: tuple[int, dict[str, str], object]
) -> None:
    slack.answers = [answer, POSTED]
    adapter.notify("#cfo", "hello")
    assert len(slack.requests) == 2
    assert len(pauses) == 1


def test_an_answer_that_is_not_slacks_is_a_refusal(slack: Slack, adapter: SlackAdapter) -> None:
    slack.answers = [(200, {}, b"<html>sign in to the hotel's network</html>")]
    with pytest.raises(AdapterRefused, match="not Slack's"):
        adapter.notify("#cfo", "hello")


def test_no_error_names_the_token(slack: Slack, adapter: SlackAdapter) -> None:
    slack.answers = [(200, {}, {"ok": False, "error": "invalid_auth"})]
    with pytest.raises(AdapterRefused) as caught:
        adapter.notify("#cfo", "hello")
    assert "xoxb" not in str(caught.value)


def test_a_server_that_is_gone_is_unavailable_and_down(pauses: list[float], slack: Slack) -> None:
    clock = SystemClock()
    calls = Calls("slack", clock, RateLimit(1000.0, 1000, clock), Retries(), pauses.append)
    # Port 1 of loopback: nobody listens there.
    gone = SlackAdapter("xoxb-planted", "http://127.0.0.1:1/api", clock, calls=calls)
    with pytest.raises(AdapterUnavailable):
        gone.notify("#cfo", "hello")
    assert len(pauses) == 2
    assert gone.health() is Health.DOWN
    gone.close()


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        ((200, {}, {"ok": True}), Health.OK),
        ((429, {"retry-after": "30"}, {}), Health.DEGRADED),
        ((200, {}, {"ok": False, "error": "invalid_auth"}), Health.DOWN),
    ],
)
def test_health_is_slacks_answer_to_whose_token_this_is(
    slack: Slack, adapter: SlackAdapter, answer: tuple[int, dict[str, str], object], health: Health
) -> None:
    slack.answers = [answer]
    assert adapter.health() is health
    assert slack.requests[0][0] == "/api/auth.test"


def test_the_adapter_goes_where_the_settings_point(slack: Slack, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, slack_bot_token="xoxb-planted", slack_base_url=slack.url)
    adapter = slack_of(settings, SystemClock())
    assert adapter.notify("#cfo", "hello").channel == "C01"
    adapter.close()


def test_without_a_token_slack_is_off(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="Slack is off"):
        slack_of(load_settings(home=tmp_path, slack_bot_token=None), SystemClock())
