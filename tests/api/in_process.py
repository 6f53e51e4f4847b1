"""The API in the test's own process: the same application, without a socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from running_api import Installation
from starlette.testclient import TestClient

from precedent.clock import SystemClock
from precedent.guard.access import create_token

DEAL: dict[str, Any] = {"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}


class TravellingClock(SystemClock):
    """The system's clock, some seconds ahead: `ahead_seconds` by what a cache measures, `later_seconds` by the calendar."""

    ahead_seconds = 0.0
    later_seconds = 0.0

    def now_us(self) -> int:
        return super().now_us() + int(self.later_seconds * 1e6)

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + int(self.ahead_seconds * 1e9)


@dataclass(frozen=True, slots=True)
class Api:
    """The application behind a client that holds every right."""

    client: TestClient
    installation: Installation
    clock: TravellingClock

    @property
    def database_url(self) -> str:
        return self.installation.database_url

    def token(self, *scopes: str, nodes: tuple[str, ...] = ("*",)) -> dict[str, str]:
        """The header of a new token, with a name of its own."""
        return {"authorization": f"Bearer {create_token(self.database_url, f'somebody-{uuid4()}', scopes, nodes)}"}

    def browser(self) -> TestClient:
        """Another client of the same running application: no token, cookies of its own, redirects seen and not followed."""
        browser = TestClient(self.client.app, follow_redirects=False)
        browser.portal = self.client.portal
        return browser

    def decide(self, node: str = "finance", headers: dict[str, str] | None = None, **others: Any) -> dict[str, Any]:
        """The usual deal with some facts changed, decided; of another node, just those facts. `others` are members beside them."""
        facts = (DEAL if node == "finance" else {}) | others.pop("facts", {})
        answer = self.client.post(f"/decisions/{node}", json={"facts": facts, **others}, headers=headers)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ledger_size(self) -> int:
        return int(self.fetch("select count(*) from ledger.entry")[0][0])

    def fetch(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows, as the administrator sees them."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()
