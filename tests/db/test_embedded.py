"""The embedded server: made once, found when it runs, ended with its owner, its secrets and folders left narrow."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from precedent.db.embedded import prepare_server, running_url, start_embedded, stop_running
from precedent.errors import DatabaseUnavailable

QUICK = {"fsync": "off"}
OWNER = """
import signal, sys; from pathlib import Path; from precedent.db.embedded import start_embedded
print(start_embedded(Path(sys.argv[1]), {'fsync': 'off'}).identity.pid, flush=True); signal.pause()
"""


def test_what_was_committed_is_there_after_a_stop_and_a_start(tmp_path: Path) -> None:
    server = start_embedded(tmp_path, QUICK)
    with psycopg.connect(server.url) as connection:
        connection.execute("create table kept as select 42 as answer")
    server.stop()
    assert not server.is_running()
    again = start_embedded(tmp_path, QUICK)
    try:
        with psycopg.connect(again.url) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)
            assert connection.info.server_version >= 180000
    finally:
        again.stop()


def test_a_running_server_is_found_not_started_twice(tmp_path: Path) -> None:
    server = start_embedded(tmp_path, QUICK)
    try:
        assert running_url(tmp_path) == server.url
        found = start_embedded(tmp_path, QUICK)
        assert (found.url, found.identity, found.child) == (server.url, server.identity, None)
        assert stop_running(tmp_path)
        assert not server.is_running()
    finally:
        server.stop()
    with pytest.raises(DatabaseUnavailable, match="precedent up"):
        running_url(tmp_path)
    assert not stop_running(tmp_path)


def test_a_pid_file_that_names_another_process_is_no_server(tmp_path: Path) -> None:
    server = start_embedded(tmp_path, QUICK)
    path = tmp_path / "postgres" / "postmaster.pid"
    lines = path.read_text().splitlines()
    server.stop()
    path.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    with pytest.raises(DatabaseUnavailable):
        running_url(tmp_path)


def test_a_home_too_deep_for_a_socket_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / ("deep-" * 20) / "home"
    server = start_embedded(home, QUICK)
    try:
        sockets = Path(psycopg.conninfo.conninfo_to_dict(server.url)["host"])
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        server.stop()
    sockets.rmdir()


def test_a_folder_that_is_half_made_is_made_again(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    start_embedded(tmp_path, QUICK).stop()
    assert not half.exists()


def test_the_data_is_for_its_owner_alone(tmp_path: Path) -> None:
    command = prepare_server(tmp_path)
    assert stat.S_IMODE(command.data.stat().st_mode) == 0o700
    assert (command.user is None) == (os.geteuid() != 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends the server another user")
def test_root_widens_folders_by_entering_alone_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    narrow = tmp_path / "narrow"
    narrow.mkdir(mode=0o700)
    (narrow / "key").touch(mode=0o600)
    prepare_server(narrow / "home")
    assert stat.S_IMODE(narrow.stat().st_mode) == 0o701
    assert stat.S_IMODE((narrow / "key").stat().st_mode) == 0o600
    assert f"let every user enter {narrow}" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_the_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        server = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    server.wait(timeout=20)


def test_a_server_that_can_t_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="no_such_setting"):
        start_embedded(tmp_path, QUICK | {"no_such_setting": "1"})
