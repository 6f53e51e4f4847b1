"""`precedent doctor`: looks for what keeps an installation from working, and says what to do about each finding."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import typer

from precedent.adapters.costs import read_book
from precedent.cli import ports, records
from precedent.errors import DatabaseUnavailable, SettingsInvalid
from precedent.production import DEVELOPMENT_TOKEN, INTERNAL_TOKEN, refused_files
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)

LEAST_SERVER = 150000
LEAST_VECTOR = (0, 8, 4)
LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and found; `fix` says what to do, empty when all is well."""

    subject: str
    text: str
    fix: str = ""


@app.command()
def doctor() -> None:
    """Check this installation; exit 1 when something needs a hand."""
    findings = examine(load_settings())
    for finding in findings:
        typer.echo(f"{'ok ' if not finding.fix else 'BAD'}  {finding.subject:<12} {finding.text}")
        if finding.fix:
            typer.echo(f"     {'':<12} → {finding.fix}")
    raise typer.Exit(1 if any(finding.fix for finding in findings) else 0)


def examine(settings: Settings) -> list[Finding]:
    """Every check in order; one that fails does not keep the next from running."""
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_python, _packages, _home, _secrets, _models, _ports, _database)
    return [finding for check in checks for finding in check(settings)]


def _python(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fix = "" if (3, 11) <= sys.version_info[:2] <= (3, 13) else "make .venv with Python 3.11, 3.12 or 3.13: make up PYTHON=python3.13"
    yield Finding("python", version, fix)


def _packages(settings: Settings) -> Iterator[Finding]:
    missing = [name for name in ("fastapi", "dagster", "dagster_webserver", "dagster_dbt", "dbt.cli") if not _is_installed(name)]
    yield Finding(
        "packages", f"missing: {', '.join(missing)}" if missing else "installed", "run make up: it installs the lock" if missing else ""
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home_dir
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    yield Finding(
        "home", str(home), "" if os.access(above, os.W_OK) else f"make {above} writable, or set PRECEDENT_HOME to a folder of yours"
    )
    free = shutil.disk_usage(above).free
    yield Finding(
        "disk", f"{free / 1e9:.1f} GB free", "" if free >= LEAST_FREE_BYTES else "free 1 GB, or set PRECEDENT_HOME to another disk"
    )


def _secrets(settings: Settings) -> Iterator[Finding]:
    home, keys = settings.home_dir, settings.keys_path
    files = [home / DEVELOPMENT_TOKEN, home / INTERNAL_TOKEN, *(keys.iterdir() if keys.is_dir() else ())]
    wide = [path for path in files if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    if wide:
        yield Finding("secrets", f"others can read {', '.join(map(str, wide))}", f"chmod 600 {' '.join(map(str, wide))}")
    elif settings.mode == "production" and (reasons := list(refused_files(settings))):
        yield Finding("secrets", "production refuses to start", "; ".join(reasons))
    elif keys.is_dir() and any(keys.iterdir()):
        yield Finding("secrets", f"keys in {keys}, mode 600")
    elif (home / DEVELOPMENT_TOKEN).exists():
        yield Finding(
            "secrets", f"no keys in {keys}", "restore the keys from where they are backed up: personal data can't be read without them"
        )
    else:
        yield Finding("secrets", "none yet: made at the first start")


def _models(settings: Settings) -> Iterator[Finding]:
    if settings.model_costs_file is None:
        return
    try:
        book = read_book(settings.model_costs_file)
    except SettingsInvalid as error:
        yield Finding("models", str(error), "mend it: until then no model is called, and no budget shows in /metrics")
    else:
        yield Finding("models", f"prices of {len(book.prices)}, budgets: {', '.join(book.budgets) or 'none'}")


def _ports(settings: Settings) -> Iterator[Finding]:
    is_ours = records.supervisor_of(settings.home_dir) is not None
    for place in ports.places(settings):
        if place.is_free():
            yield Finding("port", f"{place.port} is free")
        elif is_ours:
            yield Finding("port", f"{place.port} belongs to what runs from this home")
        else:
            yield Finding("port", f"{place.port} is taken by another process", f"set {place.setting} to a free one")


def _epoch(settings: Settings, url: str) -> Iterator[Finding]:
    """Whether personal data is under this month's key, where the keys are here and something is."""
    from precedent.clock import SystemClock
    from precedent.errors import SettingsInvalid
    from precedent.ledger.keyring import open_keyring
    from precedent.ledger.rotate_epoch import is_due

    with contextlib.suppress(SettingsInvalid):
        keyring = open_keyring(settings)
        fix = (
            "precedent ledger rotate-epoch: until then backups tell of whoever was erased"
            if is_due(url, keyring.epochs, SystemClock())
            else ""
        )
        yield Finding("keys", f"subjects' keys are under {keyring.current_epoch}", fix)


def _database(settings: Settings) -> Iterator[Finding]:
    import psycopg

    from precedent.db.embedded import database_url
    from precedent.db.engine import connect
    from precedent.db.store import read_ledger_size, read_versions

    try:
        url = database_url(settings)
        connection = connect(url)
    except DatabaseUnavailable as error:
        fix = "check PRECEDENT_DATABASE_URL and that its server runs" if settings.database_url else "start it: precedent up"
        yield Finding("database", str(error), fix)
        return
    with connection:
        versions = read_versions(connection)
        fix = "" if versions.server >= LEAST_SERVER else "PostgreSQL 15 or newer is needed"
        yield Finding("postgresql", f"{versions.server // 10000}.{versions.server % 10000}", fix)
        has_vector = versions.vector is not None and tuple(map(int, versions.vector.split("."))) >= LEAST_VECTOR
        yield Finding("pgvector", versions.vector or "absent", "" if has_vector else "install pgvector 0.8.4 or newer on the server")
        try:
            size = read_ledger_size(connection, settings.chain)
            yield Finding("ledger", f"chain {settings.chain} has {size} entries")
        except psycopg.Error as error:
            yield Finding("ledger", f"couldn't read its head: {error}", "migrate the database: precedent up does")
        else:
            yield from _epoch(settings, url)
    try:
        # Alembic prints its verdict to what stdout is when it is imported.
        with contextlib.redirect_stdout(io.StringIO()):
            from precedent.db.migrate import check

            check(url)
        yield Finding("migrations", "at head")
    except Exception as error:  # alembic raises several kinds that share no parent
        yield Finding("migrations", str(error), "migrate the database: precedent up does")
