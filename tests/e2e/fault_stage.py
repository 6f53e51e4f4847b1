"""An installation whose database, disk, clock and process can be made to fail: a PostgreSQL of its own, and one API on it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from running_api import START_SECONDS, ApiProcess, free_ports, install, wait_until

from precedent.db import migrate
from precedent.db.embedded import EmbeddedPostgres, start_embedded

APPEND_SECONDS = 1.5  # how long the API tries an append; what lasts longer is refused
DISK_BYTES = 8 << 20
CONFIGURATION = {"fsync": "off", "full_page_writes": "off"}  # which only a power cut would show; commits and their order are as always

# The append reads `clock_timestamp()` by its name, so another function of that name is its clock; in place none can be replaced.
_MOVABLE_CLOCK = """
set allow_system_table_mods = on;
create table public.moved_clock (by_time interval not null);
insert into public.moved_clock values ('0');
alter function pg_catalog.clock_timestamp() rename to unmoved_clock_timestamp;
create function pg_catalog.clock_timestamp() returns timestamptz volatile security definer language sql
    as 'select pg_catalog.unmoved_clock_timestamp() + by_time from public.moved_clock';
"""


@dataclass(slots=True)
class Stage:
    """`disk` is a small file system that holds the entries' contents; None where none may be mounted."""

    home: Path
    server: EmbeddedPostgres
    api: ApiProcess
    disk: Path | None

    @property
    def database_url(self) -> str:
        return self.server.url

    def kill_database(self) -> None:
        """SIGKILL to the server and all of its backends at once."""
        os.killpg(self.server.identity.pid, signal.SIGKILL)
        assert self.server.child is not None
        assert self.server.child.wait() == -signal.SIGKILL

    def start_database(self) -> None:
        self.server = start_embedded(self.home, CONFIGURATION)

    def await_ready(self) -> None:
        wait_until(self.api.is_ready, START_SECONDS, "the API to be ready")

    @contextmanager
    def chain_held(self) -> Iterator[psycopg.Connection]:
        """Another session holds the lock that every append takes."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("select 1 from ledger.chain for update")
            yield connection
            connection.rollback()

    @contextmanager
    def writer_frozen(self) -> Iterator[None]:
        """The backend of the appends is stopped where it stands, and goes on afterwards from there."""
        with psycopg.connect(self.database_url) as connection:
            (pid,) = connection.execute("select pid from pg_stat_activity where application_name = 'precedent writer'").fetchone() or (0,)
        assert pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        """Not a byte is left where the entries' contents are written."""
        assert self.disk is not None
        filler = self.disk / "filler"
        with filler.open("wb", buffering=0) as written, suppress(OSError):
            while written.write(bytes(4096)):
                pass
        try:
            yield
        finally:
            filler.unlink()

    def newest_hours_ahead(self) -> float:
        """How far the ledger's last time is ahead of the machine's."""
        with psycopg.connect(self.database_url) as connection:
            (ahead,) = connection.execute(
                "select ledger.u64_at(envelope, 26) / 1e6 - extract(epoch from now()) from ledger.entry order by seq desc limit 1"
            ).fetchone() or (0,)
        return float(ahead) / 3600

    def move_clock(self, hours: int) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("update public.moved_clock set by_time = make_interval(hours => %s)", (hours,))


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything begins anew, on a server that is nobody else's; at the end nothing of it is left."""
    with TemporaryDirectory(prefix="precedent-faults-") as folder:
        home = Path(folder)
        server = start_embedded(home, CONFIGURATION)
        try:
            migrate.upgrade(server.url)
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(_MOVABLE_CLOCK)
            with small_disk(home, server.url) as disk:
                installation = install(server.url, home / "api", append_timeout_seconds=APPEND_SECONDS)
                api = ApiProcess(installation, home / "api.log", free_ports(1)[0])
                acting = Stage(home, server, api, disk)
                try:
                    acting.await_ready()
                    yield acting
                finally:
                    acting.api.kill()
                    server = acting.server
                    server.stop()
        finally:
            server.stop()


@contextmanager
def small_disk(home: Path, database_url: str) -> Iterator[Path | None]:
    """A file system in memory as the tablespace of the sections, where this user may mount one."""
    folder = home / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    )
    if not mounted:
        yield None
        return
    try:
        space = folder / "space"
        space.mkdir(mode=0o700)
        owner = (home / "postgres").stat()
        os.chown(space, owner.st_uid, owner.st_gid)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"create tablespace small location '{space}'")
            connection.execute("alter table ledger.section set tablespace small")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
