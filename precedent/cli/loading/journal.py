"""What a load has sent and what came of it, append-only, so that an interrupted load goes on without doubles.

Two lines a window. The first, its rows, is on disk before anything is sent: if we crash while the batches are under way, the
next run sends exactly the same batches under the same keys, and the API gives its first answers again. The second holds the
decisions' ids and the counts. A torn last line is cut off.
"""

from __future__ import annotations

import fcntl
import os
from array import array
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import orjson

from precedent.cli.loading.tally import Rejected, Tally
from precedent.cli.loading.window import Rows
from precedent.errors import PrecedentError


class LoadRunning(PrecedentError):
    """Another process loads the same."""

    code = "LOAD_RUNNING"


class Decided:
    """Row → decision id and whether it was approved, 17 bytes each, so that a million rows stay small."""

    WIDTH = 17

    def __init__(self) -> None:
        self.held = bytearray()

    def put(self, row: int, decision_id: str, is_approved: bool) -> None:
        end = (row + 1) * self.WIDTH
        if len(self.held) < end:
            self.held.extend(bytes(max(end, 2 * len(self.held)) - len(self.held)))
        self.held[end - self.WIDTH : end] = UUID(decision_id).bytes + (b"\2" if is_approved else b"\1")

    def get(self, row: int) -> tuple[str, bool] | None:
        """None where the row has no decision."""
        held = self.held[row * self.WIDTH : (row + 1) * self.WIDTH]
        return (str(UUID(bytes=bytes(held[:16]))), held[16] == 2) if held and held[16] else None


class Journal:
    """The state of one load; `recorded` is the windows of earlier runs. Owned by one process: the kernel's lock falls with it."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a+b")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.close()
            raise LoadRunning("the same load is under way in another process") from error
        self.decided = Decided()
        self.recorded: list[Rows] = []
        self.begun = 0
        self.answered: dict[int, tuple[Tally, list[Rejected]]] = {}
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sync()
        self.file.close()

    def begin(self, rows: Rows) -> int:
        """The number of a new window, which is on disk from here on. It takes the answers of earlier ones along."""
        number = self.begun
        self.begun += 1
        self._write({"window": number, "rows": rows})
        self._sync()
        return number

    def finish(self, number: int, decisions: Mapping[int, Mapping[str, Any]], tally: Tally, rejected: list[Rejected]) -> None:
        """Note a window's answers; on disk with the next window. Lost in a crash, they are asked for again."""
        flat = [[row, str(answer["id"]), answer["verdict"] == "approve"] for row, answer in decisions.items()]
        for row, decision_id, is_approved in flat:
            self.decided.put(row, decision_id, is_approved)
        self.answered[number] = (tally, rejected)
        self._write({"answered": number, "decided": flat, "tally": tally.plain(), "rejected": [one.plain() for one in rejected]})

    def _read(self) -> None:
        self.file.seek(0)
        whole = 0
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            try:
                self._take(orjson.loads(line))
            except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError):
                break
            whole += len(line)
        self.file.truncate(whole)

    def _take(self, line: dict[str, Any]) -> None:
        if "window" in line:
            self.recorded.append(tuple(array("q", rows) for rows in line["rows"]))
            self.begun += 1
            return
        for row, decision_id, is_approved in line["decided"]:
            self.decided.put(row, decision_id, is_approved)
        self.answered[line["answered"]] = (Tally(**line["tally"]), [Rejected(**one) for one in line["rejected"]])

    def _write(self, line: dict[str, object]) -> None:
        self.file.write(orjson.dumps(line) + b"\n")

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
