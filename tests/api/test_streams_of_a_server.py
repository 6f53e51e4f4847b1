"""Streams of events over a socket: any length in flat memory, and what was committed stands however they end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest
from running_api import ApiProcess, install, serve, wait_until
from stopping import stopped_backends
from streaming import STREAM, line_of, numbers_of

MIB = 2**20


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One process for the module; it gives up on a silent database after a second."""
    folder = tmp_path_factory.mktemp("served")
    with serve(install(module_database_url, folder / "home", append_timeout_seconds=1.0), folder) as (running,):
        yield running


def test_a_stream_that_broke_off_keeps_what_was_committed_and_the_server_goes_on(server: ApiProcess) -> None:
    address = urlsplit(server.url)
    head = f"POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.token}\r\ncontent-type: application/x-ndjson\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        whole = b"".join(line_of(n, actor="cut") for n in range(1000)) + line_of(1000, actor="cut")[:40]
        connection.sendall(b"%x\r\n%s\r\n" % (len(whole), whole))
        wait_until(lambda: len(numbers_of(server.database_url, "cut")) == 1000, 30, "a thousand lines to be committed")
    wait_until(lambda: any(line["event"] == "stream_broke_off" for line in server.log_lines()), 30, "the end to be seen")
    assert numbers_of(server.database_url, "cut") == list(range(1000))
    with server.client() as client:
        assert client.post("/events", content=line_of(1000, actor="cut"), headers=STREAM).status_code == 201
    (seen,) = [line for line in server.log_lines() if line["event"] == "stream_broke_off"]
    assert (seen["lines"], seen["accepted"]) == (1000, 1000)


def test_a_database_that_goes_silent_ends_a_stream_with_what_stands_and_the_key_completes_it(server: ApiProcess) -> None:
    url, key = server.database_url, {"idempotency-key": str(uuid4())}

    def lines(pause: Callable[[], None] | None) -> Iterator[bytes]:
        for number in range(3000):
            if number == 1500 and pause:
                wait_until(lambda: len(numbers_of(url, "silent")) == 1500, 30, "half of the lines to be committed")
                pause()
            yield line_of(number, actor="silent")

    with server.client(**STREAM, **key) as client:
        stopping = stopped_backends(url, "precedent writer")
        try:
            answer = client.post("/events", content=lines(stopping.__enter__))
        finally:
            stopping.__exit__(None, None, None)
        assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE"), answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["accepted"] == 1500
        whole = client.post("/events", content=lines(None))
    assert (whole.status_code, whole.json()["accepted"]) == (201, 3000)
    assert numbers_of(url, "silent") == list(range(3000))


def require_flat(server: ApiProcess, count: int, least_bytes: float) -> None:
    """A stream of so many lines, far larger than what the server's memory grows by meanwhile."""
    process, most = psutil.Process(server.process.pid), 0

    def lines(count: int, actor: str) -> Iterator[bytes]:
        nonlocal most
        for first in range(0, count, 100):
            yield b"".join(line_of(n, actor=actor) for n in range(first, first + 100))
            most = max(most, process.memory_info().rss)

    with server.client(**STREAM) as client:
        assert client.post("/events", content=lines(2000, "warm")).status_code == 201  # what is made once
        before = most = process.memory_info().rss
        answer = client.post("/events", content=lines(count, "flat"), timeout=600)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (201, count, 0)
    sent_bytes = count * len(line_of(0, actor="flat"))
    assert sent_bytes > least_bytes
    assert most - before < 16 * MIB, f"{(most - before) / MIB:.1f} MiB more for {sent_bytes / MIB:.0f} MiB"
    assert numbers_of(server.database_url, "flat") == list(range(count))


def test_memory_stays_flat_over_a_stream(server: ApiProcess) -> None:
    require_flat(server, 12_000, 1.9 * MIB)


@pytest.mark.long
def test_memory_stays_flat_over_a_hundred_thousand_events(server: ApiProcess) -> None:
    require_flat(server, 100_000, 15 * MIB)
