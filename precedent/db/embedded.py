"""The embedded PostgreSQL 18 with pgvector of a laptop: one server a home, on a socket in a folder of mode 700, never on the network.

`cluster.py` makes the folders; this starts the server in them, finds it again, and stops it.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from precedent.db.cluster import initialise, let_enter, programs_dir, server_environment, server_user, socket_dir, write_configuration
from precedent.errors import DatabaseUnavailable
from precedent.processes.child import Identity, User, end_group, identify, spawn
from precedent.settings import Settings

DATABASE = "precedent"

# Durable as in production. Groups of small commits gain nothing from a larger cache on a laptop.
CONFIGURATION = {
    "shared_buffers": "'256MB'",
    "max_connections": "120",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    # Commits wait for what goes to the disk in one piece. A new segment of the log was filled with 16 MB of zeros: 50 to 77 ms. And what
    # autovacuum had written lay in Linux's cache until 0.7 GB went out at once: 0.3 s.
    "wal_init_zero": "off",
    "backend_flush_after": "'512kB'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "jit": "off",
    "listen_addresses": "''",
}

# Recovery after a crash replays at most max_wal_size; a laptop's disk does that well within this time.
START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How to start the server of one home: everything on disk is ready for it."""

    argv: tuple[str, ...]
    user: User | None
    url: str
    data: Path

    def is_ready(self) -> bool:
        """Whether the server accepts connections; the database exists then."""
        try:
            _ensure_database(self.url)
        except psycopg.OperationalError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server; `url` names its database through the folder of its socket."""

    url: str
    identity: Identity
    child: subprocess.Popen[bytes] | None

    def is_running(self) -> bool:
        return self.identity.is_alive()

    def stop(self) -> None:
        """Stop the server (fast: sessions are ended, nothing committed is lost)."""
        end_group(self.identity, signal.SIGINT, STOP_TIMEOUT_SECONDS, marker={})
        if self.child is not None:
            self.child.wait()


def start_embedded(home: Path, configuration: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """Start, or find running, the server whose data lives under `home`/postgres; its database exists afterwards.

    A server started here ends with the calling thread's process (on Linux), so nothing is left behind by a crash.

    Raises: DatabaseUnavailable when it does not come up.
    """
    home.mkdir(parents=True, exist_ok=True)
    with _exclusive(home / "postgres.lock"):
        if (running := _running(home)) is not None:
            return running
        command = prepare_server(home, configuration)
        log = home / "postgres.log"
        with log.open("ab") as output:
            child = spawn(
                command.argv,
                environment=server_environment(),
                folder=Path("/"),
                output=output,
                death_signal=signal.SIGINT,
                user=command.user,
            )
        _await_ready(command, child, log)
        identity = identify(child.pid)
        if identity is None:
            raise DatabaseUnavailable(f"couldn't start the embedded PostgreSQL: it ended at once; see {log}")
        return EmbeddedPostgres(command.url, identity, child)


def prepare_server(home: Path, configuration: Mapping[str, str] | None = None) -> ServerCommand:
    """Make the data folder where there is none, write the configuration, and say how the server is started.

    Raises: DatabaseUnavailable.
    """
    data = home / "postgres"
    programs = programs_dir()
    data.parent.mkdir(parents=True, exist_ok=True)
    user = server_user(data)
    if user is not None:
        let_enter((data.parent, programs))
    if not (data / "PG_VERSION").exists():
        initialise(data, programs, user)
    sockets = socket_dir(data, user)
    write_configuration(data, CONFIGURATION | dict(configuration or {}))
    argv = (str(programs / "postgres"), "-D", str(data), "-k", str(sockets))
    return ServerCommand(argv, user, _socket_url(sockets, DATABASE), data)


def running_url(home: Path) -> str:
    """URL of the server under `home`.

    Raises: DatabaseUnavailable when none runs.
    """
    running = _running(home)
    if running is None:
        raise DatabaseUnavailable(
            f"no database: neither PRECEDENT_DATABASE_URL is set nor a server runs under {home} (start one: precedent up)"
        )
    return running.url


def stop_running(home: Path) -> bool:
    """Stop the server under `home`, whoever started it; whether there was one."""
    running = _running(home)
    if running is not None:
        running.stop()
    return running is not None


def database_url(settings: Settings) -> str:
    """The configured URL, else that of the running embedded server.

    Raises: DatabaseUnavailable when there is neither.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return running_url(settings.home_dir)


def _running(home: Path) -> EmbeddedPostgres | None:
    """The server that postmaster.pid names, if that process is a PostgreSQL: after a restart of the machine the id is another's."""
    try:
        lines = (home / "postgres" / "postmaster.pid").read_text().splitlines()
        identity = identify(int(lines[0]))
        is_postgres = identity is not None and psutil.Process(identity.pid).name() == "postgres"
        if identity is None or not is_postgres or not lines[4]:
            return None
        return EmbeddedPostgres(_socket_url(Path(lines[4]), DATABASE), identity, None)
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"couldn't read {home}/postgres: it belongs to another user; set PRECEDENT_HOME to a folder of yours"
        ) from error


def _await_ready(command: ServerCommand, child: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(int(START_TIMEOUT_SECONDS / 0.05)):
        if command.is_ready():
            return
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    if child.poll() is None:
        child.kill()
        child.wait()
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise DatabaseUnavailable(f"couldn't start the embedded PostgreSQL under {command.data}:\n{tail}")


def _socket_url(sockets: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(sockets), safe='/')}"


def _ensure_database(url: str) -> None:
    maintenance = url.replace(f"/{DATABASE}?", "/postgres?", 1)
    with psycopg.connect(maintenance, autocommit=True, connect_timeout=5) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
        if not exists:
            connection.execute(f"create database {DATABASE}")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel lets go of it when the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
