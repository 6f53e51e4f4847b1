"""Fixtures for every room: one real PostgreSQL a run, one fresh, migrated database a test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from running_api import ApiProcess, Installation, install, serve

from precedent.db import migrate
from precedent.db.embedded import EmbeddedPostgres, start_embedded
from precedent.settings import Settings, load_settings

TEMPLATE = "precedent_template"
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    """The run's PostgreSQL. It skips fsync, which only a power cut would show; commits and their order are as always.

    Not under pytest's own folder: as root the server is another user, and a second run takes that user's way in back.
    """
    with TemporaryDirectory(prefix="precedent-") as folder:
        running = start_embedded(Path(folder), {"fsync": "off", "full_page_writes": "off"})
        try:
            with psycopg.connect(running.url, autocommit=True) as connection:
                connection.execute(f"create database {TEMPLATE}")
            migrate.upgrade(_url_of(running, TEMPLATE))
            yield running
        finally:
            running.stop()


def _url_of(server: EmbeddedPostgres, database: str) -> str:
    return server.url.replace("/precedent?", f"/{database}?", 1)


@contextmanager
def _fresh_database(server: EmbeddedPostgres) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {TEMPLATE}")
        try:
            yield _url_of(server, name)
        finally:
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database_url(server: EmbeddedPostgres) -> Iterator[str]:
    """A fresh, migrated database, as its administrator."""
    with _fresh_database(server) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(server: EmbeddedPostgres) -> Iterator[str]:
    """The same for all tests of one module: for what takes seconds to fill."""
    with _fresh_database(server) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Development settings on the fresh database, with a home of their own."""
    return load_settings(database_url=database_url, home=tmp_path / "home", dagster_url="http://127.0.0.1:9")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and foreign vectors, which are no part of the project; the test is skipped where it is absent."""
    folder = Path(os.environ.get("PRECEDENT_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared data under {folder}")
    return folder


@pytest.fixture
def api_server(database_url: str, tmp_path: Path) -> Iterator[ApiProcess]:
    """A real `python -m api` on a database of its own, ready to decide: its url, token, database_url, process and settings."""
    with serve(install(database_url, tmp_path / "home"), tmp_path) as (server,):
        yield server


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Installation:
    """A database of its own that is ready to decide, with nobody serving it."""
    return install(database_url, tmp_path / "home")
