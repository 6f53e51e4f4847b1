"""Load on an endpoint of this machine, bounded in time and count, over kept-alive connections: wrk where it is installed, else our own.

An answer that isn't 2xx ends the measurement: the speed of refusals says nothing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from urllib.parse import urlsplit

MAX_REQUESTS = 1_000_000
GRACE_SECONDS = 15.0
LOOPBACK = frozenset({"127.0.0.1", "localhost"})
# Where a request's own key comes.
KEY, PLACE = "Idempotency-Key", "@key@"
_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "duration_us": %d, "p50_us": %d, "p95_us": %d, "p99_us": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50.0), latency:percentile(95.0), latency:percentile(99.0),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class LoadFailed(Exception):
    """The endpoint refused, or the client broke: there is nothing to report."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked: the bodies go round, one a request. All header names and values are ours, without control characters.

    With `has_keys` each request has an Idempotency-Key that no other had.
    """

    url: str
    headers: Mapping[str, str]
    bodies: Sequence[bytes]
    has_keys: bool = False

    def __post_init__(self) -> None:
        if urlsplit(self.url).hostname not in LOOPBACK:
            raise LoadFailed(f"{self.url} is not an address of this machine")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: answers, and how long they took from the first byte sent."""

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def client_name() -> str:
    return "wrk" if shutil.which("wrk") else "the bench's own client, which shares the machine's cores and takes more of them than wrk"


def run_load(target: Target, connections: int, seconds: int) -> Figures:
    """Raises: LoadFailed."""
    wrk = shutil.which("wrk")
    return run_wrk(wrk, target, connections, seconds) if wrk else asyncio.run(run_own(target, connections, seconds))


def run_wrk(program: str, target: Target, connections: int, seconds: int) -> Figures:
    """One thread: more would only take the cores from what is measured.

    Raises: LoadFailed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:  # mode 600: it holds the token
        script.write(_script(target))
        script.flush()
        argv = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script.name, target.url]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise LoadFailed(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    told = json.loads(lines[-1])
    if told["errors"] or not told["requests"]:
        raise LoadFailed(f"{told['errors']} of {told['requests']} requests failed at {target.url}")
    return Figures(told["requests"], told["duration_us"] / 1e6, *(told[f"{p}_us"] / 1000 for p in ("p50", "p95", "p99")))


def _script(target: Target) -> str:
    """JSON strings of ASCII are Lua strings too, but for \\u and \\/, which are not in what we send."""
    named = {**target.headers, **({KEY: PLACE} if target.has_keys else {})}
    headers = "".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in named.items())
    bodies = ", ".join(json.dumps(body.decode("ascii")) for body in target.bodies)
    return f"""
wrk.method = "POST"
{headers}
local bodies = {{{bodies}}}
local requests, turn, sent, run = {{}}, 0, 0, "{os.urandom(8).hex()}"
init = function(args)
  for place, body in ipairs(bodies) do
    local text = wrk.format(nil, nil, nil, body)
    local from, to = string.find(text, "{PLACE}", 1, true)
    requests[place] = from and {{string.sub(text, 1, from - 1), string.sub(text, to + 1)}} or {{text}}
  end
end
request = function()
  turn, sent = turn % #requests + 1, sent + 1
  local one = requests[turn]
  return one[2] and (one[1] .. run .. sent .. one[2]) or one[1]
end
{_DONE}"""


async def run_own(target: Target, connections: int, seconds: float, max_requests: int = MAX_REQUESTS) -> Figures:
    """The same load from this process. What is under way at the end is awaited and counted.

    Raises: LoadFailed.
    """
    parts = urlsplit(target.url)
    requests = _requests(target)
    took_seconds: list[float] = []
    sent = 0
    set_aside_what_is_held()
    began = perf_counter()

    async def ask_on_one_connection() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            while sent < max_requests and perf_counter() - began < seconds:
                request = requests(sent)
                sent += 1
                asked = perf_counter()
                writer.write(request)
                await _read_answer(reader)
                took_seconds.append(perf_counter() - asked)
        finally:
            writer.close()
            await writer.wait_closed()

    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            await asyncio.gather(*(ask_on_one_connection() for _ in range(connections)))
    except (OSError, EOFError, TimeoutError) as error:
        raise LoadFailed(f"couldn't load {target.url}: {error!r}") from error
    elapsed = perf_counter() - began
    took_seconds.sort()
    return Figures(len(took_seconds), elapsed, *(percentile(took_seconds, share) * 1000 for share in (0.50, 0.95, 0.99)))


async def run_at_pace(target: Target, per_second: int, seconds: float) -> Figures:
    """Each request due at its own moment, whatever became of those before it, and timed from then on: waiting counts.

    Raises: LoadFailed.
    """
    parts, requests = urlsplit(target.url), _requests(target)
    # The longest idle first: a server closes what is idle for long.
    idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
    count = int(per_second * seconds)
    set_aside_what_is_held()
    began = perf_counter()

    async def ask(number: int) -> float:
        reader, writer = idle.popleft() if idle else await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(requests(number))
        await _read_answer(reader)
        idle.append((reader, writer))
        return perf_counter() - began - number / per_second

    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            asked = []
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_second - perf_counter()))
                asked.append(asyncio.create_task(ask(number)))
            took_seconds = sorted(await asyncio.gather(*asked))
    except (OSError, EOFError, TimeoutError) as error:
        raise LoadFailed(f"couldn't load {target.url}: {error!r}") from error
    finally:
        for _, writer in idle:
            writer.close()
    elapsed = perf_counter() - began
    return Figures(count, elapsed, *(percentile(took_seconds, share) * 1000 for share in (0.50, 0.95, 0.99)))


def set_aside_what_is_held() -> None:
    """What earlier parts of the bench hold: a collector that walks it stops this client for 0.1 s, which looks like a slow answer."""
    gc.collect()
    gc.freeze()


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that `share` of all values do not exceed (nearest rank); NaN of nothing."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)] if ordered else float("nan")


def _requests(target: Target) -> Callable[[int], bytes]:
    """The bytes of the request with some number."""
    parts, run = urlsplit(target.url), os.urandom(8).hex()
    made = [_request(target, f"{parts.hostname}:{parts.port}", parts.path or "/", body) for body in target.bodies]
    if not target.has_keys:
        return lambda number: made[number % len(made)]
    return lambda number: made[number % len(made)].replace(PLACE.encode(), f"{run}{number}".encode(), 1)


def _request(target: Target, host: str, path: str, body: bytes) -> bytes:
    headers = {"Host": host, **target.headers, **({KEY: PLACE} if target.has_keys else {}), "Content-Length": str(len(body))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("ascii") + b"\r\n" + body


async def _read_answer(reader: asyncio.StreamReader) -> None:
    """Take one answer off the connection; its length must be declared, as our endpoints do."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = head[0].split(" ")[1]
    if not status.startswith("2"):
        raise LoadFailed(f"an answer was {status}, not 2xx")
    lengths = [line.partition(":")[2] for line in head[1:] if line.lower().startswith("content-length:")]
    if len(lengths) != 1:
        raise LoadFailed("an answer doesn't say its length")
    await reader.readexactly(int(lengths[0]))
