"""`precedent append`: lines of a pipe become events of the ledger, once."""

from __future__ import annotations

import pytest
from running_api import ApiProcess
from typer.testing import CliRunner

from precedent.cli.append import app


def test_lines_are_recorded_once_under_a_key_and_the_bad_ones_are_named(api_server: ApiProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEDENT_URL", api_server.url)
    monkeypatch.setenv("PRECEDENT_TOKEN", api_server.token)
    lines = b'{"type": "Piped", "payload": 1.50}\n\n{"payload": 2}\n{"type": "Piped"}'
    for _ in range(2):
        told = CliRunner().invoke(app, ["-", "--key", "k"], input=lines)
        assert (told.exit_code, told.stdout) == (1, '{"accepted":2,"refused":1}\n')
        assert told.stderr == "line 3: type is a string of 1 to 256 characters (FIELD_INVALID)\n"
    with api_server.client() as client:
        assert client.get("/events", params={"type": "Piped"}).text.count('"payload":1.50') == 1
    assert CliRunner().invoke(app, ["-", "--url", "http://127.0.0.1:9", "--patience", "0"], input=lines).exit_code == 2
