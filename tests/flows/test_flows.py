from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from precedent.settings import load_settings, project_root

FOLDER = project_root() / "flows"
FLOWS = sorted(FOLDER.glob("*.json"))
SECRET_SHAPES = re.compile(r"xox[abpr]-|hooks\.slack\.com|Bearer (?!\{\{)|-----BEGIN|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9]{20}")
ENVIRONMENT = re.compile(r"\$env\.([A-Z0-9_]+)")


def load(path: Path) -> dict[str, Any]:
    flow: dict[str, Any] = json.loads(path.read_text())
    return flow


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for held in value.values():
            yield from texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from texts(held)


def targets(flow: dict[str, Any]) -> dict[str, list[str]]:
    """Node to the nodes it feeds."""
    return {
        source: [link["node"] for lane in kinds.values() for branch in lane for link in branch]
        for source, kinds in flow["connections"].items()
    }


def test_there_are_flows_each_with_an_id_of_its_own() -> None:
    ids = [load(path)["id"] for path in FLOWS]
    assert FLOWS
    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
class TestFlow:
    def test_connections_name_nodes_that_exist(self, path: Path) -> None:
        flow = load(path)
        names = [node["name"] for node in flow["nodes"]]
        assert len(set(names)) == len(names) == len({node["id"] for node in flow["nodes"]})
        for source, fed in targets(flow).items():
            assert source in names
            assert set(fed) <= set(names)

    def test_every_node_is_reached_from_a_trigger(self, path: Path) -> None:
        flow = load(path)
        reached = {node["name"] for node in flow["nodes"] if node["type"].lower().endswith(("trigger", "webhook"))}
        assert reached
        edges = targets(flow)
        while more := {name for source in reached for name in edges.get(source, [])} - reached:
            reached |= more
        assert reached == {node["name"] for node in flow["nodes"]}

    def test_it_is_imported_inactive_and_carries_no_data(self, path: Path) -> None:
        flow = load(path)
        assert flow["active"] is False
        assert flow.get("pinData", {}) == {}
        assert not [node["name"] for node in flow["nodes"] if "credentials" in node]

    def test_addresses_come_from_the_environment(self, path: Path) -> None:
        for node in load(path)["nodes"]:
            if node["type"].endswith("httpRequest"):
                assert re.match(r"=\{\{ \$env\.[A-Z_]+ \}\}", node["parameters"]["url"]), node["name"]
        assert "://" not in path.read_text()

    def test_it_holds_no_secret(self, path: Path) -> None:
        for text in texts(load(path)):
            assert not SECRET_SHAPES.search(text), text
        for node in load(path)["nodes"]:
            for header in node["parameters"].get("headerParameters", {}).get("parameters", []):
                if header["name"].lower() == "authorization":
                    assert header["value"] == "=Bearer {{ $env.PRECEDENT_TOKEN }}"

    def test_the_readme_names_it_and_every_variable_it_reads(self, path: Path) -> None:
        readme = (FOLDER / "README.md").read_text()
        assert f"`{path.name}`" in readme
        for name in set(ENVIRONMENT.findall(path.read_text())):
            assert f"`{name}`" in readme

    def test_the_routes_it_calls_exist(self, path: Path, tmp_path: Path) -> None:
        routes = set(create_app(load_settings(home=tmp_path)).openapi()["paths"])
        called = re.findall(r"\$env\.PRECEDENT_URL \}\}(/[a-z/-]+)", path.read_text())
        assert called
        assert set(called) <= routes
