"""The server of the dbt docs: what it serves, what it refuses, when it generates."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from precedent.cli.docs_server import SERVED, Handler, Server, fingerprint, is_current, publish


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "one.sql").write_text("select 1")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    with Server(("127.0.0.1", 0), lambda *given: Handler(*given, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def generate(folder: Path) -> None:
    (folder / "target").mkdir(exist_ok=True)
    for name in SERVED:
        (folder / "target" / name).write_text(f"generated {name}")


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_page_asks_for_patience_until_it_is_generated(port: int, folder: Path) -> None:
    status, body = ask(port, "/")
    assert status == 503
    assert b"being generated" in body
    generate(folder)
    publish(folder, "a fingerprint")
    assert ask(port, "/") == (200, b"generated index.html")
    assert ask(port, "/manifest.json?cb=1") == (200, b"generated manifest.json")


@pytest.mark.parametrize("path", ["/target/", "/fingerprint", "/../docs/index.html", "/target/manifest.json", "/logs", "/%2e%2e/"])
def test_nothing_else_of_the_folder_is_served(port: int, folder: Path, path: str) -> None:
    generate(folder)
    publish(folder, "a fingerprint")
    assert ask(port, path)[0] == 404


def test_what_was_generated_stays_current_until_a_source_changes(project: Path, folder: Path) -> None:
    assert not is_current(folder, project)
    generate(folder)
    publish(folder, fingerprint(project))
    assert is_current(folder, project)
    (project / "target").mkdir()
    (project / "target" / "compiled.sql").write_text("select 2")
    assert is_current(folder, project)
    (project / "models" / "one.sql").write_text("select 2")
    assert not is_current(folder, project)
    publish(folder, fingerprint(project))
    (project / "models" / "one.sql").rename(project / "models" / "two.sql")
    assert not is_current(folder, project)


def test_a_file_that_went_missing_is_made_again(project: Path, folder: Path) -> None:
    generate(folder)
    publish(folder, fingerprint(project))
    (folder / "catalog.json").unlink()
    assert not is_current(folder, project)
