"""`precedent notebooks`: served to this machine, opened by its token alone, on a database that its kernels cannot write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import psycopg
import pytest
from running_api import free_ports, wait_until

from precedent.cli.notebooks import arguments, read_only
from precedent.settings import Settings


def test_the_notebooks_are_listed_for_whoever_has_the_token(database_url: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_")}
    environment = kept | {"PRECEDENT_HOME": str(tmp_path), "PRECEDENT_DATABASE_URL": database_url, "JUPYTER_TOKEN": "opened"}
    command = [sys.executable, "-m", "precedent.cli.main", "notebooks", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as served:
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

                def is_served() -> bool:
                    assert served.poll() is None, (tmp_path / "log").read_text()
                    try:
                        return client.get("/api/status", params={"token": "opened"}).status_code == 200
                    except httpx2.TransportError:
                        return False

                wait_until(is_served, 60, "JupyterLab")
                # By another client: this one was given a session for its token.
                assert httpx2.get(f"http://127.0.0.1:{port}/api/contents", trust_env=False).status_code == 403
                listed = json.loads(client.get("/api/contents", params={"token": "opened"}).text)["content"]
        finally:
            served.terminate()
    assert {"decisions_over_time.ipynb", "feature_origins.ipynb", "precedents_of_a_case.ipynb"} <= {one["name"] for one in listed}


def test_what_a_kernel_is_given_reads_and_does_not_write(settings: Settings) -> None:
    with psycopg.connect(read_only(settings)["PRECEDENT_DATABASE_URL"]) as connection:
        assert connection.execute("select current_user").fetchone() == ("precedent_analyst",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create temporary table scratch (n int)")


def test_it_listens_on_the_loopback_address_alone() -> None:
    assert "--ServerApp.ip=127.0.0.1" in arguments(8888, Path("notebooks"))
