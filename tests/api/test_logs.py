"""The logs of a process, as it writes them however it was started."""

from __future__ import annotations

import subprocess
import sys

import orjson
from running_api import Installation, environment_of

from precedent.cli.programs import api_program
from precedent.settings import project_root

FAIL = """
import sys
import structlog
from uvicorn.importer import import_from_string

import_from_string(sys.argv[1])()
received = "what somebody sent"
try:
    raise ValueError("it broke at jane@example.com")
except ValueError:
    structlog.get_logger("api").exception("unexpected")
"""


def test_a_process_that_reloads_logs_as_every_other_without_variables(installation: Installation) -> None:
    """As uvicorn's supervisor makes the application again and again under `make dev`."""
    argv = api_program(installation.settings, {}, with_reload=True).argv
    factory = next(word for word in argv if word.startswith("api."))
    done = subprocess.run(
        [sys.executable, "-c", FAIL, factory],
        cwd=project_root(),
        env=environment_of(installation.settings, 1),
        capture_output=True,
        timeout=60,
        check=True,
    )
    (line,) = done.stderr.splitlines()
    assert orjson.loads(line)["event"] == "unexpected"
    assert b"ValueError" in line
    assert b"what somebody sent" not in line
    assert b"jane@" not in line
