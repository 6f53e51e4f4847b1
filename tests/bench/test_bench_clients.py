"""The clients of the bench count right: beside a server of their own, whose answers are counted and slow by a known time."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.bench.clients import Figures, LoadFailed, Target, percentile, run_at_pace, run_own, run_wrk

BODIES = [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']
DELAY_SECONDS = 0.02


class CountingServer:
    """Answers every POST after `delay_seconds` with `status`, and counts what it was asked."""

    def __init__(self) -> None:
        self.status = "201 Created"
        self.delay_seconds = 0.0
        self.bodies: Counter[bytes] = Counter()
        self.tokens: set[str] = set()
        self.keys: Counter[str] = Counter()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> CountingServer:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/decisions/finance"
        self._started.set()
        await self._ended.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._answer(reader, writer))
        self._open.add(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                body = await reader.readexactly(int(headers["content-length"]))
                await asyncio.sleep(self.delay_seconds)
                self.bodies[body] += 1
                self.tokens.add(headers["authorization"])
                self.keys.update([headers["idempotency-key"]] if "idempotency-key" in headers else [])
                writer.write(f"HTTP/1.1 {self.status}\r\ncontent-length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as running:
        yield running


@pytest.fixture
def wrk() -> str:
    program = shutil.which("wrk")
    if program is None:
        pytest.skip("wrk is not installed")
    return program


def target_of(server: CountingServer) -> Target:
    return Target(server.url, {"Authorization": "Bearer a-token", "Content-Type": "application/json"}, BODIES)


def own(server: CountingServer, connections: int, seconds: float, max_requests: int) -> Figures:
    return asyncio.run(run_own(target_of(server), connections, seconds, max_requests))


def test_the_own_client_counts_every_answer_once_and_stops_at_its_count(server: CountingServer) -> None:
    figures = own(server, connections=8, seconds=30, max_requests=400)
    assert figures.requests == 400
    assert server.bodies == dict.fromkeys(BODIES, 100)
    assert server.tokens == {"Bearer a-token"}


def test_the_own_client_stops_by_the_clock(server: CountingServer) -> None:
    figures = own(server, connections=4, seconds=0.2, max_requests=10**9)
    assert figures.requests == server.bodies.total() > 0
    assert figures.seconds >= 0.2
    assert figures.per_second == figures.requests / figures.seconds


def test_the_own_client_sees_the_delay_that_there_is(server: CountingServer) -> None:
    server.delay_seconds = DELAY_SECONDS
    figures = own(server, connections=4, seconds=30, max_requests=40)
    assert DELAY_SECONDS * 1000 <= figures.p50_ms <= figures.p95_ms <= figures.p99_ms
    # Four at a time: 40 requests can't be quicker than ten delays.
    assert figures.seconds >= 10 * DELAY_SECONDS


def test_wrk_counts_the_same_and_sees_the_same_delay(server: CountingServer, wrk: str) -> None:
    server.delay_seconds = DELAY_SECONDS
    figures = run_wrk(wrk, target_of(server), connections=4, seconds=1)
    # What was under way at the end was answered, and is not counted by wrk.
    assert figures.requests <= server.bodies.total() <= figures.requests + 4
    assert set(server.bodies) == set(BODIES)
    assert server.tokens == {"Bearer a-token"}
    assert DELAY_SECONDS * 1000 <= figures.p50_ms <= figures.p95_ms <= figures.p99_ms
    assert figures.per_second <= 4 / DELAY_SECONDS


def test_each_request_has_a_key_of_its_own_where_it_has_one(server: CountingServer, wrk: str) -> None:
    own(server, connections=4, seconds=30, max_requests=40)
    assert not server.keys
    target = replace(target_of(server), has_keys=True)
    asyncio.run(run_own(target, 4, 30, 40))
    run_wrk(wrk, target, connections=4, seconds=1)
    assert server.keys.total() == server.bodies.total() - 40 == len(server.keys)
    assert set(server.bodies) == set(BODIES)


def test_a_pace_is_kept_whatever_an_answer_takes(server: CountingServer) -> None:
    server.delay_seconds = DELAY_SECONDS
    figures = asyncio.run(run_at_pace(target_of(server), 500, 0.2))
    assert figures.requests == server.bodies.total() == 100
    # A hundred answers one after the other would take two seconds.
    assert DELAY_SECONDS * 1000 <= figures.p50_ms <= figures.p99_ms
    assert figures.seconds >= 0.198 + DELAY_SECONDS


@pytest.mark.parametrize("status", ["503 Service Unavailable", "401 Unauthorized"])
def test_an_answer_that_refuses_ends_the_measurement(server: CountingServer, status: str) -> None:
    server.status = status
    with pytest.raises(LoadFailed, match=status[:3]):
        own(server, connections=2, seconds=30, max_requests=10)


def test_refusals_fail_a_run_of_wrk_too(server: CountingServer, wrk: str) -> None:
    server.status = "503 Service Unavailable"
    with pytest.raises(LoadFailed, match="requests failed"):
        run_wrk(wrk, target_of(server), connections=2, seconds=1)


def test_a_server_that_is_gone_is_no_measurement() -> None:
    with CountingServer() as gone:
        target = target_of(gone)
    with pytest.raises(LoadFailed, match="couldn't load"):
        asyncio.run(run_own(target, 2, 1.0))


@pytest.mark.parametrize("url", ["http://192.0.2.7:8000/", "http://example.invalid/", "http://127.0.0.1.example.invalid/"])
def test_no_machine_but_this_one_is_loaded(url: str) -> None:
    with pytest.raises(LoadFailed, match="not an address of this machine"):
        Target(url, {}, BODIES)


def test_percentiles_are_values_by_nearest_rank() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.50, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) != percentile([], 0.5)
