"""`precedent up` as a person runs it: a home of its own, free ports, the real API and the real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from precedent.cli.session import FIRST_DECISION

NARROW = ("--no-dagster", "--no-docs", "--no-sample")


class Copy:
    """One installation: a home and three ports, and the command run with them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        ports = dict(zip(("PRECEDENT_API_PORT", "PRECEDENT_DAGSTER_PORT", "PRECEDENT_DOCS_PORT"), map(str, free_ports(3)), strict=True))
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_") and name not in {"DATABASE_URL", "PORT"}
        }
        self.environment = kept | ports | {"PRECEDENT_HOME": str(home)}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "precedent.cli.main", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*arguments), env=self.environment, capture_output=True, text=True, timeout=300)

    def up(self, *arguments: str) -> str:
        done = self.run("up", "--detach", *(arguments or NARROW))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def pids(self) -> list[int]:
        """The supervisor's and those of its programs."""
        records = [json.loads(path.read_text()) for path in (self.home / "run").glob("*.json")]
        return [record["pid"] for record in records]


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    numbers = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return numbers


def until(is_so: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if is_so():
            return
        Event().wait(0.05)
    pytest.fail(f"never came: {what}")


def get(url: str) -> tuple[int, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, json.load(answer)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    copy = Copy(tmp_path_factory.mktemp("running") / "home")
    copy.told = copy.up()  # type: ignore[attr-defined]
    try:
        yield copy
    finally:
        copy.run("down")


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path / "home")
    try:
        yield copy
    finally:
        copy.run("down")


def test_status_names_the_addresses_and_each_process(running: Copy) -> None:
    done = running.run("status", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert {name: process["state"] for name, process in report["processes"].items()} == {"postgres": "ready", "api": "ready"}
    assert report["api_url"] == f"http://127.0.0.1:{running.environment['PRECEDENT_API_PORT']}"
    assert {"dagster_url", "docs_url", "database_url"} <= set(report)
    assert get(f"{report['api_url']}/health") == (200, {"ok": True})


def test_a_signer_of_its_own_is_started_where_settings_say_so(copy: Copy) -> None:
    copy.environment["PRECEDENT_SIGNER"] = "process"
    copy.up()
    status = copy.status()
    assert {name: process["state"] for name, process in status["processes"].items()} == dict.fromkeys(
        ("postgres", "signer", "api"), "ready"
    )
    token = (copy.home / "dev-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(status["api_url"] + path, body, headers), timeout=30) as answer:
            return json.load(answer)

    decision = ask("/decisions/finance", FIRST_DECISION.encode())
    # What a checkpoint covers was signed by that process: the API in this mode has no other signer.
    assert ask(f"/decisions/{decision['id']}/proof?wait=proof")["checkpoint"]
    assert stat.S_ISSOCK((copy.home / "run" / "signer.sock").stat().st_mode)


def test_the_first_call_that_is_printed_works_with_the_token_that_is_printed(running: Copy) -> None:
    told = running.told  # type: ignore[attr-defined]
    token = (running.home / "dev-token").read_text().strip()
    url = f"{running.status()['api_url']}/decisions/finance"
    assert f"curl -s {url} -H 'Authorization: Bearer {token}'" in told
    assert FIRST_DECISION in told
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, FIRST_DECISION.encode(), headers), timeout=10) as answer:
        decision = json.load(answer)
    assert (decision["verdict"], decision["autonomy_level"], decision["effective"]) == ("approve", 2, True)


def test_secrets_and_keys_are_for_their_owner_alone(running: Copy) -> None:
    secrets = [running.home / "dev-token", running.home / "internal-token", *(running.home / "keys").iterdir()]
    assert len(secrets) >= 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_second_up_on_the_same_home_is_refused_and_changes_nothing(running: Copy) -> None:
    before = running.pids()
    done = running.run("up", *NARROW)
    assert done.returncode == 1
    assert "precedent already runs from" in done.stderr
    assert sorted(running.pids()) == sorted(before)


def test_doctor_finds_nothing_wrong_with_a_running_home(running: Copy) -> None:
    done = running.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "BAD" not in done.stdout


def test_doctor_names_a_key_that_others_can_read(running: Copy) -> None:
    (key, *_) = (running.home / "keys").iterdir()
    key.chmod(0o644)
    try:
        done = running.run("doctor")
        assert done.returncode == 1
        assert f"chmod 600 {key}" in done.stdout
    finally:
        key.chmod(0o600)


def test_the_smoke_test_passes_and_tells_a_wrong_token(running: Copy) -> None:
    script = Path(__file__).parents[2] / "deploy" / "smoke.sh"
    token = (running.home / "dev-token").read_text().strip()
    environment = running.environment | {"URL": running.status()["api_url"], "TOKEN": token}
    done = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smoke passed" in done.stdout
    refused = subprocess.run(["sh", script], env=environment | {"TOKEN": "not-one"}, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "answered 401" in refused.stderr


def test_a_killed_api_is_shown_and_started_again(running: Copy) -> None:
    before = running.status()["processes"]["api"]
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: running.status()["processes"]["api"]["restarts"] == before["restarts"] + 1, "a restart")
    until(lambda: running.status()["processes"]["api"]["state"] == "ready", "the API again")
    assert get(f"{running.status()['api_url']}/health") == (200, {"ok": True})
    assert "api ended unexpectedly (killed by SIGKILL)" in (running.home / "logs" / "up.log").read_text()


def test_a_killed_database_comes_back_with_all_that_was_committed(running: Copy) -> None:
    token = (running.home / "dev-token").read_text().strip()
    os.kill(running.status()["processes"]["postgres"]["pid"], signal.SIGKILL)
    until(lambda: running.status()["processes"]["postgres"]["restarts"] == 1, "a restart")
    until(lambda: running.run("status").returncode == 0, "all ready again")
    request = urllib.request.Request(f"{running.status()['api_url']}/decisions", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_two_copies_run_side_by_side_and_down_stops_one(running: Copy, copy: Copy) -> None:
    copy.up()
    pids = copy.pids()
    assert get(f"{copy.status()['api_url']}/health") == get(f"{running.status()['api_url']}/health")
    assert copy.status()["database_url"] != running.status()["database_url"]
    done = copy.run("down")
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert len(pids) == 3
    assert not any(map(psutil.pid_exists, pids))
    assert running.run("status").returncode == 0
    assert copy.run("status").returncode == 1
    assert copy.run("down").stdout.startswith("nothing runs")


def test_a_taken_port_is_named_before_anything_starts(running: Copy, copy: Copy) -> None:
    copy.environment["PRECEDENT_API_PORT"] = running.environment["PRECEDENT_API_PORT"]
    done = copy.run("up", *NARROW)
    assert done.returncode == 1
    assert "set PRECEDENT_API_PORT to a free one" in done.stderr
    assert not (copy.home / "postgres").exists()


def test_ctrl_c_stops_everything_and_ends_well(copy: Copy) -> None:
    log = copy.home.with_name("told")
    with log.open("wb") as told:
        process = subprocess.Popen(copy.argv("up", *NARROW), env=copy.environment, stdout=told, stderr=told, start_new_session=True)
    until(lambda: b"everything is ready" in log.read_bytes(), "readiness")
    pids = copy.pids()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert log.read_text().endswith("SIGINT: stopping …\nstopped\n")
    assert not any(map(psutil.pid_exists, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_nothing_outlives_a_killed_supervisor_and_the_next_start_keeps_the_data(copy: Copy) -> None:
    copy.up()
    token = (copy.home / "dev-token").read_text()
    processes = [psutil.Process(pid) for pid in copy.pids()]
    supervisor = json.loads((copy.home / "run" / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []
    copy.up()
    assert (copy.home / "dev-token").read_text() == token
    assert copy.status()["processes"]["api"]["state"] == "ready"
