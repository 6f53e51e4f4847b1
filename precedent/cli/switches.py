"""Two ways to the same switches: through a running API, whose token's name is recorded, or straight into the database.

Both end in an entry of the ledger, and hold for every process at the commit of that entry: what was decided under the flags before
can't be committed after it, whether or not a process has heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from precedent.cli.flag import PRINCIPAL
from precedent.cli.loading.load import TokenMissing, target_of
from precedent.client import Client
from precedent.client_calls import get, put
from precedent.clock import SystemClock
from precedent.db.embedded import database_url
from precedent.db.engine import API, connect
from precedent.guard.flags import KILL_SWITCH, MAX_LEVEL, set_flag
from precedent.guard.store import FLAGS
from precedent.ledger.store import chain_id_of
from precedent.settings import Settings

# Who is in a hurry does not wait for an API that hangs: the database is asked next.
ATTEMPT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class FlagState:
    node: str
    action: str
    is_enabled: bool
    max_level: int
    reason: str


class Switches(Protocol):
    """What can be switched. Each call raises a PrecedentError where it could not; setting what is set already does no harm."""

    where: str

    def flags(self) -> list[FlagState]:
        """Every action's flag, without the kill switch."""
        ...

    def set_halted(self, is_halted: bool, reason: str) -> None: ...

    def set_flag(self, flag: FlagState) -> None: ...


class SwitchesOverApi:
    """Through the API, under a token with the scope flags:write."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self.where = f"the API at {url}"

    def flags(self) -> list[FlagState]:
        items = self._client.send(get("/flags"))["items"]
        return [FlagState(one["node"], one["action"], one["enabled"], one["max_level"], one["reason"]) for one in items]

    def set_halted(self, is_halted: bool, reason: str) -> None:
        self._put("/kill-switch", {"halted": is_halted, "reason": reason})

    def set_flag(self, flag: FlagState) -> None:
        content = {"enabled": flag.is_enabled, "max_level": flag.max_level, "reason": flag.reason}
        self._put(f"/flags/{quote(flag.node, safe='')}/{quote(flag.action, safe='')}", content)

    def _put(self, path: str, content: dict[str, object]) -> None:
        self._client.send(put(path, content, str(self._client.clock.new_id())))


class SwitchesInDatabase:
    """Through the core, as `precedent flag` does: for when no API answers."""

    where = "the database"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def flags(self) -> list[FlagState]:
        with connect(database_url(self._settings), API) as connection:
            rows = connection.execute(FLAGS, (chain_id_of(connection, self._settings.chain),)).fetchall()
        return [FlagState(*row[:5]) for row in rows if (row[0], row[1]) != KILL_SWITCH]

    def set_halted(self, is_halted: bool, reason: str) -> None:
        self.set_flag(FlagState(*KILL_SWITCH, not is_halted, MAX_LEVEL, reason))

    def set_flag(self, flag: FlagState) -> None:
        url = database_url(self._settings)
        set_flag(url, self._settings, flag.node, flag.action, flag.is_enabled, flag.max_level, flag.reason, PRINCIPAL)


@contextmanager
def open_switches(settings: Settings, url: str | None, token: str | None, *, is_direct: bool) -> Iterator[list[Switches]]:
    """The ways to try, best first: the API where a token is known, then the database; an API that was named has no other behind it,
    for the database at hand may be another's.

    Raises: TokenMissing where an API was named and nothing says who is asking.
    """
    direct = SwitchesInDatabase(settings)
    if is_direct:
        yield [direct]
        return
    try:
        target = target_of(settings, url, token)
    except TokenMissing:
        if url is not None:
            raise
        yield [direct]
        return
    with Client(target.url, target.token, patience_seconds=0, clock=SystemClock(), attempt_seconds=ATTEMPT_SECONDS) as client:
        over_api = SwitchesOverApi(client, target.url)
        yield [over_api] if url is not None else [over_api, direct]
