"""The Postman collection: its requests are routes of the API, each asserts something, and all pass against a running one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from running_api import ApiProcess

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/postman"
COLLECTION = FOLDER / "precedent.postman_collection.json"
ENVIRONMENT = FOLDER / "local.postman_environment.json"
NEWMAN = "newman@6"


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in orjson.loads(COLLECTION.read_bytes())["item"]:
        for one in folder["item"]:
            yield folder["name"], one


def test_the_folders_are_the_three_steps_of_the_round_trip() -> None:
    assert list(dict.fromkeys(folder for folder, _ in requests())) == ["Events", "Decisions", "Outcomes"]


@pytest.mark.parametrize("one", [one for _, one in requests()], ids=lambda one: one["name"])
def test_each_request_is_a_route_and_asserts_something(one: dict[str, Any]) -> None:
    paths = orjson.loads((ROOT / "api/openapi.json").read_bytes())["paths"]
    path = "/" + "/".join(one["request"]["url"]["path"])
    fitting = [route for route in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)]
    assert any(one["request"]["method"].lower() in paths[route] for route in fitting), path
    assert "pm.test(" in "".join(one["event"][-1]["script"]["exec"])


def test_no_secret_is_in_it() -> None:
    values = {one["key"]: one for one in orjson.loads(ENVIRONMENT.read_bytes())["values"]}
    assert (values["token"]["value"], values["token"]["type"]) == ("", "secret")
    assert "Bearer " not in COLLECTION.read_text()


@pytest.mark.long
def test_newman_runs_it_against_a_running_api(api_server: ApiProcess, tmp_path: Path) -> None:
    newman = install_newman(tmp_path)
    environment = orjson.loads(ENVIRONMENT.read_bytes())
    for value, one in zip((api_server.url, api_server.token), environment["values"], strict=True):
        one["value"] = value
    (tmp_path / "environment.json").write_bytes(orjson.dumps(environment))
    command = [newman, "run", COLLECTION, "--environment", tmp_path / "environment.json", "--reporters", "json"]
    done = subprocess.run(
        [*map(str, command), "--reporter-json-export", str(tmp_path / "report.json")], capture_output=True, text=True, timeout=120
    )
    run = json.loads((tmp_path / "report.json").read_text())["run"]
    assert done.returncode == 0, [(one["source"]["name"], one["error"]["message"]) for one in run["failures"]]
    assert run["stats"]["requests"]["total"] == len(list(requests()))
    assert run["stats"]["assertions"]["total"] >= run["stats"]["requests"]["total"]


def install_newman(folder: Path) -> str:
    """The machine's own, or one that npm lays into a folder of this test; else the test is skipped."""
    found = shutil.which("newman")
    if found:
        return found
    if shutil.which("npm") is None:
        pytest.skip("neither newman nor npm is on this machine")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), NEWMAN]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=180)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm reaches no registry")
    return str(folder / "node_modules/.bin/newman")
