"""Every route that changes something, with a request for each and what it needs to be there before it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import orjson
import psycopg
from in_process import DEAL
from running_api import ApiProcess, Installation, wait_until

from precedent.guard.access import create_token
from precedent.settings import project_root

REPLAYED = "idempotent-replayed"
NAME = "finance-constitution"
FINANCE = (project_root() / f"policies/finance/{NAME}-1.1.0.yaml").read_text()
ACCESS = {
    "subject": {"type": "user", "id": "a"},
    "action": {"name": "finance/approve_discount"},
    "resource": {"type": "deal", "id": "D-1"},
    "context": DEAL,
}
OTHER_ACCESS = ACCESS | {"context": DEAL | {"deal_value": 7}}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and another body for the same route; None where it takes none."""

    method: str
    path: str
    body: Any = None
    other: Any = None

    @property
    def entries(self) -> int:
        """How many it leaves in the ledger."""
        return 2 if isinstance(self.body, dict) and ({"decisions", "evaluations"} & self.body.keys()) else 1


class World:
    """Two API processes on one database, and what a request may need to be there before it."""

    def __init__(self, installation: Installation, servers: list[ApiProcess]) -> None:
        self.installation = installation
        self.servers = servers
        self.clients = [server.client() for server in servers]
        self.version = 0
        self.second = create_token(servers[0].database_url, "second", ["policies:activate", "reviews:write"])

    def ask(self, asked: Asked, body: Any = None, headers: dict[str, str] | None = None, server: int = 0) -> httpx2.Response:
        body = asked.body if body is None else body
        sent = {"content-type": "application/yaml" if isinstance(body, str) else "application/json"} | (headers or {})
        content = None if body is None else body if isinstance(body, str) else orjson.dumps(body)
        return self.clients[server].request(asked.method, asked.path, content=content, headers=sent)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(Asked(method, path, body))
        assert answer.is_success, answer.text
        return answer.json()

    def ledger_size(self) -> int:
        with psycopg.connect(self.servers[0].database_url) as connection:
            row = connection.execute("select count(*) from ledger.entry").fetchone()
        return int(row[0]) if row else 0

    def published(self) -> str:
        """A fresh version of the policy."""
        self.version += 1
        self.done("POST", "/policies/finance/publish", self.text())
        return f"{NAME}@50.{self.version}.0"

    def text(self, patch: int = 0) -> str:
        return FINANCE.replace("version: 1.1.0", f"version: 50.{self.version}.{patch}")

    def activated(self) -> str:
        ref = self.published()
        self.done("POST", f"/policies/{ref}/activate")
        return ref

    def decision(self, discount: float = 0.08) -> dict[str, Any]:
        found: dict[str, Any] = self.done("POST", "/decisions/finance", DEAL | {"requested_discount_pct": discount})
        return found

    def publishing(self) -> Asked:
        self.version += 1
        return Asked("POST", "/policies/finance/publish", self.text(), self.text(1))

    def rolling_back(self) -> Asked:
        self.activated()
        self.activated()
        return Asked("POST", f"/policies/{NAME}/rollback", {"reason": "r"}, {"reason": "other"})

    def proposed(self, what: str) -> Asked:
        """A proposal, which the token of both processes may answer: it was made with another."""
        ref = self.published()
        self.done("PUT", "/change-control/finance", {"second_person": True, "reason": "r"})
        answer = self.ask(Asked("POST", f"/policies/{ref}/activate"), headers={"authorization": f"Bearer {self.second}"})
        assert answer.status_code == 202, answer.text
        bodies = ({"reason": "r"}, {"reason": "other"}) if what == "reject" else (None, None)
        return Asked("POST", f"/proposals/{answer.json()['id']}/{what}", *bodies)

    def relaxed(self) -> None:
        """One person is enough again, whatever a test left."""
        asked = self.ask(Asked("PUT", "/change-control/finance", {"second_person": False, "reason": "r"}))
        if asked.status_code == 202:
            headers = {"authorization": f"Bearer {self.second}"}
            assert self.ask(Asked("POST", f"/proposals/{asked.json()['id']}/approve"), headers=headers).status_code == 200

    def review(self) -> Asked:
        decision = self.ask(
            Asked("POST", "/decisions/finance", DEAL | {"requested_discount_pct": 0.18}),
            headers={"authorization": f"Bearer {create_token(self.servers[0].database_url, str(uuid4()), ['decisions:write'])}"},
        ).json()
        body = {"answer": "approve", "reason": "r", "digest": decision["hash"]}
        return Asked("POST", f"/decisions/{decision['id']}/review", body, body | {"reason": "other"})


WON = {"won": True, "margin": 0.3}
SWITCH = {"halted": False, "reason": "r"}
FLAG = {"enabled": True, "max_level": 3, "reason": "r"}
ROUTES: dict[tuple[str, str], Callable[[World], Asked]] = {
    ("POST", "/events"): lambda _: Asked("POST", "/events", {"type": "A", "subject": "p", "payload": 1.50}, {"type": "B"}),
    ("POST", "/decisions/{node}"): lambda _: Asked("POST", "/decisions/finance", DEAL, DEAL | {"deal_value": 7}),
    ("POST", "/decisions/{node}/batch"): lambda _: Asked(
        "POST", "/decisions/finance/batch", {"decisions": [DEAL, DEAL]}, {"decisions": [DEAL, DEAL | {"deal_value": 7}]}
    ),
    ("POST", "/access/v1/evaluation"): lambda _: Asked("POST", "/access/v1/evaluation", ACCESS, OTHER_ACCESS),
    ("POST", "/access/v1/evaluations"): lambda _: Asked(
        "POST", "/access/v1/evaluations", ACCESS | {"evaluations": [{}, {}]}, OTHER_ACCESS | {"evaluations": [{}, {}]}
    ),
    ("POST", "/outcomes/{decision_id}"): lambda world: Asked(
        "POST", f"/outcomes/{world.decision()['id']}", {"metrics": WON}, {"metrics": WON | {"won": False}}
    ),
    ("POST", "/outcomes"): lambda world: Asked(
        "POST", "/outcomes", {"outcomes": [one := {"decision_id": world.decision()["id"], "metrics": WON}]}, {"outcomes": [one, one]}
    ),
    ("POST", "/decisions/{decision_id}/review"): World.review,
    ("POST", "/policies/{node}/publish"): World.publishing,
    ("POST", "/policies/{ref}/activate"): lambda world: Asked(
        "POST", f"/policies/{world.published()}/activate", {"reason": "r"}, {"reason": "other"}
    ),
    ("POST", "/policies/{ref}/deactivate"): lambda world: Asked(
        "POST", f"/policies/{world.activated()}/deactivate", {"reason": "r"}, {"reason": "other"}
    ),
    ("POST", "/policies/{ref}/withdraw"): lambda world: Asked(
        "POST", f"/policies/{world.published()}/withdraw", {"reason": "r"}, {"reason": "other"}
    ),
    ("POST", "/policies/{name}/rollback"): World.rolling_back,
    ("POST", "/proposals/{proposal_id}/approve"): lambda world: world.proposed("approve"),
    ("POST", "/proposals/{proposal_id}/reject"): lambda world: world.proposed("reject"),
    ("PUT", "/change-control/{node}"): lambda _: Asked(
        "PUT", "/change-control/finance", {"second_person": True, "reason": "r"}, {"second_person": True, "reason": "other"}
    ),
    ("PUT", "/flags/{node}/{action}"): lambda _: Asked("PUT", "/flags/finance/approve_discount", FLAG, FLAG | {"max_level": 2}),
    ("PUT", "/kill-switch"): lambda _: Asked("PUT", "/kill-switch", SWITCH, {"halted": True, "reason": "r"}),
}


def send_and_leave(server: ApiProcess, asked: Asked, headers: dict[str, str], is_done: Callable[[], bool]) -> None:
    """Send the request, and go away once it is done, without a look at the answer."""
    body = b"" if asked.body is None else asked.body.encode() if isinstance(asked.body, str) else orjson.dumps(asked.body)
    media_type = "application/yaml" if isinstance(asked.body, str) else "application/json"
    sent = {"host": "x", "authorization": f"Bearer {server.token}", "content-type": media_type, "content-length": str(len(body))} | headers
    head = f"{asked.method} {asked.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + body)
        wait_until(is_done, 30, f"{asked.method} {asked.path} to be done")
