"""Loads the definitions once, with a home and settings of the tests' own, and gives Dagster an instance on PostgreSQL."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from precedent.db.engine import sqlalchemy_url, with_options

with warnings.catch_warnings():
    # A dependency of dagster-dbt announces its own retirement when it is imported.
    warnings.simplefilter("ignore")
    import dagster as dg
    import dagster_dbt  # noqa: F401


@pytest.fixture(scope="session")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    """All definitions, loaded under a home of the tests' own, which stays their home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRECEDENT_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PRECEDENT_TIME_ZONE", "Europe/Amsterdam")
        for name in ("PRECEDENT_DATABASE_URL", "DATABASE_URL"):
            patch.delenv(name, raising=False)
        from dagster_project.definitions import defs

        yield defs


@pytest.fixture
def instance(module_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance whose storage is the database, in the schema that `precedent up` gives it."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        connection.execute("create schema if not exists dagster")
    storage = sqlalchemy_url(with_options(module_database_url, search_path="dagster"), "psycopg2")
    (tmp_path / "dagster.yaml").write_text(
        "storage: {postgres: {postgres_url: {env: PRECEDENT_DAGSTER_STORAGE_URL}}}\ntelemetry: {enabled: false}\n"
    )
    monkeypatch.setenv("PRECEDENT_DAGSTER_STORAGE_URL", storage)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", module_database_url)
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found
