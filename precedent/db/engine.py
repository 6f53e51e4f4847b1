"""How a process connects: one URL, one role it assumes, UTC, and a name that operators see in pg_stat_activity."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from precedent.errors import DatabaseUnavailable

OWNER, API, PIPELINE, ERASER, ANALYST = (f"precedent_{name}" for name in ("owner", "api", "pipeline", "eraser", "analyst"))

UTC = "-cTimeZone=UTC"  # a server, a database and a role may each have another zone
STATEMENT_SECONDS = 5.0
TRANSACTION_SECONDS = 10.0
# How long TCP waits for a host that acknowledges nothing any more; a socket in the file system needs none.
TCP_USER_TIMEOUT_MS = 15_000


def plain_url(url: str) -> str:
    """The URL as libpq takes it: scheme `postgresql`, no driver."""
    scheme, rest = url.split("://", 1)
    return f"postgresql://{rest}" if scheme.split("+")[0] in {"postgres", "postgresql"} else url


def sqlalchemy_url(url: str, driver: str = "psycopg") -> str:
    """The URL with its driver spelled out: a bare scheme means a different driver in each release of SQLAlchemy."""
    return plain_url(url).replace("postgresql://", f"postgresql+{driver}://", 1)


def with_options(url: str, **options: str) -> str:
    """The URL with server settings (`role`, `search_path`, …) that hold from the first statement of a session; in UTC always."""
    parts = urlsplit(plain_url(url))
    query = dict(parse_qsl(parts.query))
    words = [query["options"]] if "options" in query else []
    if UTC not in query.get("options", ""):
        words.append(UTC)
    words += [f"-c{name}={value}" for name, value in options.items()]
    query["options"] = " ".join(words)
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))


def with_role(url: str, role: str) -> str:
    """The URL under a database role: the session has that role's rights alone from its first statement on."""
    return with_options(url, role=role)


def connect(url: str, role: str | None = None, *, autocommit: bool = False, **options: Any) -> psycopg.Connection:
    """An open connection, under `role` where one is named.

    Raises: DatabaseUnavailable.
    """
    try:
        return psycopg.connect(
            with_role(url, role) if role else with_options(url),
            autocommit=autocommit,
            application_name="precedent",
            connect_timeout=5,
            tcp_user_timeout=TCP_USER_TIMEOUT_MS,
            **options,
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"couldn't connect to the database: {error}") from error


@contextmanager
def transaction(url: str, role: str, seconds: float = TRANSACTION_SECONDS) -> Iterator[psycopg.Connection]:
    """A short transaction, committed at the end. A server that does not answer holds it for `seconds` at most.

    Raises: DatabaseUnavailable, also where the connection is lost on the way: if that was during the commit, it may stand.
    """
    bounded = with_options(url, statement_timeout=f"{STATEMENT_SECONDS * 1000:.0f}")
    try:
        with connect(bounded, role) as connection:
            timer = Timer(seconds, hang_up, [connection])
            timer.daemon = True
            timer.start()
            try:
                yield connection
                connection.commit()
            finally:
                timer.cancel()
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"couldn't write: {error}") from error


class Deadline:
    """Around a wait on a connection: where it takes longer than `seconds`, it fails as if the server had hung up.

    The socket is shut and nothing is cancelled: cancelled, psycopg would ask a server that does not answer to cancel the
    statement, and wait for that too. 2 µs each.
    """

    __slots__ = ("_connection", "_seconds", "_timer")

    def __init__(self, connection: psycopg.AsyncConnection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, hang_up, self._connection)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def hang_up(connection: psycopg.AsyncConnection | psycopg.Connection) -> None:
    """Shut the connection's socket: whoever waits on it hears that the server is gone."""
    # A copy of the descriptor: the connection goes on to own its own, and closes it when it hears. Closed meanwhile, it has none.
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def dbt_environment(url: str, role: str = PIPELINE) -> dict[str, str]:
    """The variables that dbt/profiles.yml reads; a socket's folder passes as the host."""
    info = conninfo_to_dict(plain_url(url))
    return {
        "PRECEDENT_DBT_HOST": str(info.get("host") or "127.0.0.1"),
        "PRECEDENT_DBT_PORT": str(info.get("port") or 5432),
        "PRECEDENT_DBT_USER": str(info.get("user") or "postgres"),
        "PRECEDENT_DBT_PASSWORD": str(info.get("password") or ""),
        "PRECEDENT_DBT_DATABASE": str(info.get("dbname") or "precedent"),
        "PRECEDENT_DBT_ROLE": role,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
