"""One application and one database a module."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from in_process import Api, TravellingClock
from running_api import install
from spending import COSTS
from starlette.testclient import TestClient

from api.app import create_app


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One a module: its tests share what was recorded."""
    installation = install(module_database_url, tmp_path_factory.mktemp("home"))
    clock = TravellingClock()
    costs = installation.settings.home_dir / "costs.yaml"
    costs.write_text(COSTS)
    settings = installation.settings.model_copy(update={"model_costs_file": costs})
    with TestClient(create_app(settings, clock), client=("127.0.0.1", 50000)) as client:
        client.headers["authorization"] = f"Bearer {installation.token}"
        yield Api(client, installation, clock)


@pytest.fixture
def client(api: Api) -> httpx2.Client:
    return api.client
