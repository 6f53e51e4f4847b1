"""Who may decide what right now: active policies and flags of one epoch, kept current in each process.

A change is announced by NOTIFY, but nothing rests on that: an append made under an older epoch is refused, and the decision
is made again under the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import structlog

from precedent.db.engine import API, with_role
from precedent.db.reads import Reads
from precedent.errors import ActionNotFound, NodeNotFound, PolicyNotFound, PrecedentError
from precedent.guard.flags import Flag, Flags
from precedent.policy import store
from precedent.policy.compile import CompiledPolicy
from precedent.policy.evaluate import Control
from precedent.policy.registry import compile_active

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Authority:
    """One consistent state: everything here holds at `epoch` and only there."""

    epoch: int
    policies: Mapping[str, CompiledPolicy] = field(default_factory=dict)  # every version that was ever active
    stopped: frozenset[str] = frozenset()  # deactivated or withdrawn: no pin reaches them
    active: Mapping[str, Mapping[str, CompiledPolicy]] = field(default_factory=dict)
    flags: Flags = field(default_factory=Flags)

    def policy_for(self, node: str, action: str | None) -> tuple[CompiledPolicy, str]:
        """The active policy of a node's action, and the action: named, or the only one, or the default.

        Raises: NodeNotFound, ActionNotFound.
        """
        actions = self.active.get(node)
        if not actions:
            raise NodeNotFound(f"no active policy declares the node '{node}': publish one and activate it")
        if action is None:
            defaults = {policy.document.default_action for policy in actions.values()} - {None}
            candidates = defaults or set(actions)
            if len(candidates) != 1:
                raise ActionNotFound(f"the node '{node}' has several actions: name one of {', '.join(sorted(actions))}")
            action = str(next(iter(candidates)))
        policy = actions.get(action)
        if policy is None:
            raise ActionNotFound(f"the node '{node}' has no action '{action}': it has {', '.join(sorted(actions))}")
        return policy, action

    def pinned(self, ref: str, node: str) -> CompiledPolicy:
        """A version by reference (`name@version`, or `name` for the active one): activated once, and neither
        deactivated nor withdrawn since.

        Raises: PolicyNotFound.
        """
        candidates = [self.policies.get(ref)] if "@" in ref else [p for p in self.active.get(node, {}).values() if p.document.name == ref]
        policy = next((candidate for candidate in candidates if candidate is not None), None)
        if policy is None or policy.document.node != node or policy.document.ref in self.stopped:
            raise PolicyNotFound(f"no policy '{ref}' of the node '{node}' is or was active")
        return policy

    def control(self, node: str, action: str) -> Control:
        flag: Flag = self.flags.of(node, action)
        return Control(self.flags.is_halted, flag.is_enabled, flag.max_level)


def authority_of(row: tuple[Any, ...], before: Authority | None) -> Authority:
    """The state in one row of `store.AUTHORITY`; what was compiled for the state before is kept."""
    epoch, policies, flags = row
    compiled = compile_active(policies, before.policies if before else {})
    active: dict[str, dict[str, CompiledPolicy]] = {}
    for name, version, status, _, _ in policies:
        if status == "active":
            policy = compiled[f"{name}@{version}"]
            active.setdefault(policy.document.node, {}).update(dict.fromkeys(policy.document.actions, policy))
    by_action = {(node, action): Flag(enabled, max_level) for node, action, enabled, max_level in flags}
    stopped = frozenset(f"{name}@{version}" for name, version, status, _, _ in policies if status in {"deactivated", "withdrawn"})
    return Authority(epoch, compiled, stopped, active, Flags(by_action))


class AuthoritySource:
    """The current authority of an API process: loaded at first use, again when told or when found stale."""

    def __init__(self, reads: Reads, url: str, chain_id: UUID) -> None:
        self._reads = reads
        self._url = with_role(url, API)
        self._chain_id = chain_id
        self._current: Authority | None = None
        self._loading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> Authority | None:
        return self._current

    async def current(self) -> Authority:
        """Raises: DatabaseUnavailable where nothing was loaded yet and nothing can be."""
        return self._current or await self.reload()

    async def reload(self, stale: Authority | None = None) -> Authority:
        """The state as the database has it; who found `stale` out of date shares one reload with the others."""
        async with self._loading:
            if stale is not None and self._current is not None and self._current.epoch > stale.epoch:
                return self._current
            (row,) = await self._reads.fetch(store.AUTHORITY, {"chain": self._chain_id})
            self._current = authority_of(row, self._current)
            log.info("authority_loaded", epoch=self._current.epoch, policies=sorted(self._current.policies))
            return self._current

    def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="authority-listener")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, application_name="precedent authority", connect_timeout=3
                ) as connection:
                    await connection.execute("listen precedent_control")
                    await self.reload()  # what happened while nobody listened
                    async for _ in connection.notifies():
                        await self.reload()
            except (psycopg.Error, PrecedentError) as error:
                log.warning("authority_listener_lost", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)
