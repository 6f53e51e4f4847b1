"""Replays that were asked for over HTTP: one a token at a time, one a process of the API at a time, in a process of its own.

They are kept in this process's memory, the newest so many: a replay appends nothing and can be had again by asking again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import structlog

from precedent.clock import Clock
from precedent.errors import NotFound, QueueFull, ReplayRunning
from precedent.processes.child import LAUNCH
from precedent.settings import project_root

log = structlog.get_logger("api")

KEPT = 64
MAX_UNFINISHED = 16
RUN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to replay; `node` is the candidate's."""

    policy: str
    before: str | None
    node: str
    last: int | None
    from_us: int | None
    to_us: int | None
    limit: int


@dataclass(slots=True)
class Replay:
    """One replay, of `waiting`, `running`, `done` and `failed`; its answer is None until it is done."""

    id: UUID
    principal: str
    asked: Asked
    created_at_us: int
    status: str = "waiting"
    finished_at_us: int | None = None
    report: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_finished(self) -> bool:
        return self.ended.is_set()


class Replays:
    """Runs and keeps them; its memory is that of `KEPT` answers."""

    def __init__(self, url: str, chain: str, clock: Clock, run_seconds: float = RUN_SECONDS) -> None:
        self._url = url
        self._chain = chain
        self._clock = clock
        self._run_seconds = run_seconds
        self._held: OrderedDict[UUID, Replay] = OrderedDict()
        self._turn = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, principal: str, asked: Asked) -> Replay:
        """A new replay, under way.

        Raises: ReplayRunning where one of this principal has not ended; QueueFull.
        """
        unfinished = [replay for replay in self._held.values() if not replay.is_finished]
        own = next((replay for replay in unfinished if replay.principal == principal), None)
        if own is not None:
            raise ReplayRunning(f"the replay {own.id} of this token has not ended")
        if len(unfinished) >= MAX_UNFINISHED:
            raise QueueFull(f"{MAX_UNFINISHED} replays wait already")
        replay = Replay(self._clock.new_id(), principal, asked, self._clock.now_us())
        self._held[replay.id] = replay
        self._forget()
        task = asyncio.create_task(self._run(replay), name=f"replay-{replay.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return replay

    def find(self, replay_id: UUID) -> Replay:
        """Raises: NotFound."""
        replay = self._held.get(replay_id)
        if replay is None:
            raise NotFound(f"no replay {replay_id} is kept here: ask for it again")
        return replay

    async def wait(self, replay: Replay, seconds: float) -> None:
        """Return once it has ended, or after `seconds`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(replay.ended.wait(), seconds)

    async def close(self) -> None:
        """End those that run."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self) -> None:
        for old in [replay.id for replay in self._held.values() if replay.is_finished][: max(len(self._held) - KEPT, 0)]:
            del self._held[old]

    async def _run(self, replay: Replay) -> None:
        answer: dict[str, Any] = {"code": "REPLAY_FAILED", "error": "the replay was ended"}
        try:
            async with self._turn:
                replay.status = "running"
                answer = await self._compute(replay.asked)
        finally:
            replay.report = answer.get("report")
            replay.error = None if replay.report is not None else {"code": answer["code"], "detail": answer["error"]}
            replay.status = "failed" if replay.error else "done"
            replay.finished_at_us = self._clock.now_us()
            replay.ended.set()

    async def _compute(self, asked: Asked) -> dict[str, Any]:
        """What the child answers. It ends with this process, whatever ends that, and with its time."""
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(signal.SIGKILL)), "-1", "-1"]
        child = await asyncio.create_subprocess_exec(
            *launch,
            sys.executable,
            "-P",
            "-m",
            "precedent.learning.replay_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=project_root(),
            start_new_session=True,
        )
        job = {
            "url": self._url,
            "chain": self._chain,
            "policy": asked.policy,
            "before": asked.before,
            "last": asked.last,
            "from_us": asked.from_us,
            "to_us": asked.to_us,
            "limit": asked.limit,
        }
        try:
            told, _ = await asyncio.wait_for(child.communicate(orjson.dumps(job)), self._run_seconds)
        except TimeoutError:
            return {"code": "REPLAY_FAILED", "error": f"it took longer than {self._run_seconds:g} s: ask for fewer decisions"}
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        if child.returncode != 0:
            log.error("replay_failed", exit_code=child.returncode)
            return {"code": "REPLAY_FAILED", "error": "the replay came to no answer"}
        answer: dict[str, Any] = orjson.loads(told)
        return answer
