"""Decisions asked under idempotency keys, at a bounded pace, by callers who go on whatever they are told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from load import DEAL, callers
from running_api import ApiProcess

PACE_SECONDS = 0.02  # between two requests of one caller
ABSENCE_SECONDS = 0.5  # more, after one that nobody answered
PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class KeyedLoad:
    """What each key was told: `acknowledged` its decision, `refused` an answer of another status, `cut` none at all."""

    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, httpx2.Response] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)
    grown: threading.Condition = field(default_factory=threading.Condition)

    @property
    def open_keys(self) -> set[str]:
        """Those whose caller does not know yet whether it was decided."""
        return set(self.refused) | self.cut

    def run(self, server: ApiProcess, name: str) -> None:
        number = 0
        with server.client() as client:
            while not self.ended.wait(PACE_SECONDS):
                number += 1
                if not self._ask(client, f"{name}-{number}"):
                    self.ended.wait(ABSENCE_SECONDS)

    def _ask(self, client: httpx2.Client, key: str) -> bool:
        """Whether somebody answered."""
        try:
            answer = ask(client, key)
        except httpx2.TransportError:
            answer = None
        with self.grown:
            if answer is None:
                self.cut.add(key)
            elif answer.status_code == 201:
                self.acknowledged[key] = answer.json()
            else:
                self.refused[key] = answer
            self.grown.notify_all()
        return answer is not None

    def await_acknowledged(self, count: int) -> None:
        self._await_more(self.acknowledged, count)

    def await_refused(self, count: int) -> None:
        self._await_more(self.refused, count)

    def await_cut(self, count: int) -> None:
        self._await_more(self.cut, count)

    def _await_more(self, told: Mapping[str, Any] | set[str], count: int) -> None:
        with self.grown:
            wanted = len(told) + count
            is_enough = self.grown.wait_for(lambda: len(told) >= wanted, PATIENCE_SECONDS)
            assert is_enough, (len(self.acknowledged), len(self.refused), len(self.cut))


def ask(client: httpx2.Client, key: str) -> httpx2.Response:
    """The same request each time: the key is the correlation id too, by which the ledger's side of it is found."""
    return client.post("/decisions/finance", json=DEAL, headers={"idempotency-key": key, "x-cid": key})


@contextmanager
def keyed_load(server: ApiProcess, name: str, caller_count: int) -> Iterator[KeyedLoad]:
    """So many callers ask while the block runs; their keys begin with `name`."""
    load = KeyedLoad()
    with callers([threading.Thread(target=load.run, args=(server, f"{name}-{number}")) for number in range(caller_count)], load.ended):
        yield load
