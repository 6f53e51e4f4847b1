"""Schemathesis asks a real server whatever its OpenAPI document allows and forbids, with all of its checks, and finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_api import INTERNAL_TOKEN, ApiProcess, install, serve

from precedent.settings import project_root

CONFIGURATION = Path(__file__).parent / "schema" / "schemathesis.toml"


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("described")
    with serve(install(module_database_url, folder / "home", rate_per_second=1e6), folder) as (running,):
        yield running


def require_nothing_found(server: ApiProcess, folder: Path, *options: str) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "x-internal-token": INTERNAL_TOKEN}
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", f"{server.url}/openapi.json"]
    command += [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.api.schema.hooks", "PYTHONPATH": str(project_root())}
    told = subprocess.run([*command, "--checks=all", *options], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    refused = [line for line in server.log_lines() if line.get("event") in {"unexpected", "append_failed", "append_refused"}]
    assert refused == []


def test_a_generator_of_requests_finds_nothing(server: ApiProcess, tmp_path: Path) -> None:
    require_nothing_found(server, tmp_path, "--phases=examples,fuzzing", "--max-examples=2", "--seed=1", "--no-shrink")


@pytest.mark.long
def test_a_generator_that_asks_for_long_finds_nothing(server: ApiProcess, tmp_path: Path) -> None:
    require_nothing_found(server, tmp_path, "--max-examples=100", "--seed=2", "--continue-on-failure")
