"""One walk through the whole API, and what was asked and answered on the way: the examples of its description."""

from __future__ import annotations

from typing import Any

import orjson
import yaml
from in_process import DEAL, Api

from precedent.guard.access import SCOPES, create_token
from precedent.settings import project_root

NAME = "finance-constitution"
POLICY = (project_root() / f"policies/finance/{NAME}-1.1.0.yaml").read_text()
JSON = "application/json"
EVENT = {"type": "DiscountRequested", "actor": "sales-desk", "correlationId": "deal-4711", "payload": {"deal": 4711}}
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/sales-desk",
    "type": "com.example.discount.requested",
    "time": "2026-11-22T19:34:12Z",
    "data": {"deal": 4711},
}
STREAM = '{"type": "DealWon"}\n{"type": "DealLost", "payload": 7}\n'
ASKED = {"action": "approve_discount", "facts": DEAL}
ACCESS = {
    "subject": {"type": "customer", "id": "C-4711", "properties": {"customer_tier": "A"}},
    "action": {"name": "finance/approve_discount", "properties": {"requested_discount_pct": 0.08}},
    "resource": {"type": "deal", "id": "D-1", "properties": {"deal_value": 12000, "base_margin_pct": 0.31}},
    "context": {},
}
WON = {"won": True, "margin": 0.31, "time_to_close_days": 12}
AUTUMN = {"reason": "the margin fell in autumn"}


def version(number: str) -> str:
    return POLICY.replace("version: 1.1.0", f"version: {number}")


class Walk:
    """Asks as `operator`, unless another is named, and keeps the first body and the first answer of each kind."""

    def __init__(self, api: Api) -> None:
        self.examples: dict[str, dict[str, Any]] = {}
        self._api = api
        names = ("operator", "anna", "sales-desk")
        self._tokens = {name: f"Bearer {create_token(api.database_url, name, sorted(SCOPES))}" for name in names}

    def ask(
        self,
        method: str,
        route: str,
        body: Any = None,
        kind: str = JSON,
        query: str = "",
        accept: str = JSON,
        by: str = "operator",
        **names: str,
    ) -> Any:
        """The answer: what JSON says, else its text."""
        content = None if body is None else body if isinstance(body, str) else orjson.dumps(body)
        headers = {"content-type": kind, "accept": accept, "authorization": self._tokens[by]}
        answer = self._api.client.request(method, route.format(**names) + query, content=content, headers=headers)
        assert answer.is_success or route == "/ready", answer.text
        example = self.examples.setdefault(f"{method} {route}", {"answers": {}})
        if body is not None:
            example.setdefault("body", {}).setdefault(kind, body)
        media_type = answer.headers["content-type"].partition(";")[0]
        told = answer.json() if media_type == JSON else answer.text
        example["answers"].setdefault(str(answer.status_code), {}).setdefault(media_type, told)
        return told

    def walk(self) -> dict[str, dict[str, Any]]:
        """All of it but jobs, which need a Dagster, and tiles, which are bytes."""
        self._record()
        self._decide()
        self._ask_as_others_do()
        self._change_policies()
        self._change_by_two()
        self._switch()
        self._prove()
        self._leave_nothing_active()
        return self.examples

    def _record(self) -> None:
        self.ask("POST", "/events", EVENT)
        self.ask("POST", "/events", CLOUDEVENT, "application/cloudevents+json")
        self.ask("POST", "/events", [CLOUDEVENT], "application/cloudevents-batch+json")
        self.ask("POST", "/events", STREAM, "application/x-ndjson")
        self.ask("POST", "/events", [], "application/cloudevents-batch+json")
        self.ask("GET", "/events", query="?limit=2")

    def _decide(self) -> None:
        decision = self.ask("POST", "/decisions/{node}", ASKED, node="finance")["id"]
        beyond = {"action": "approve_discount", "facts": DEAL | {"requested_discount_pct": 0.18}}
        self.ask("POST", "/decisions/{node}/batch", {"decisions": [ASKED, beyond, {"facts": {}}]}, node="finance")
        outcome = {"metrics": WON, "observed_at": "2026-11-25T09:00:00Z"}
        self.ask("POST", "/outcomes/{decision_id}", {"metrics": WON}, decision_id=decision)
        self.ask("POST", "/outcomes", {"outcomes": [{"decision_id": decision, **outcome}]})
        self.ask("GET", "/outcomes/{decision_id}", decision_id=decision)
        self.ask("GET", "/decisions", query="?limit=2")
        self.ask("GET", "/decisions/{decision_id}", decision_id=decision)
        self.ask("GET", "/decisions/{decision_id}/explanation", decision_id=decision)
        waiting = self.ask("GET", "/reviews", by="anna")["items"][0]
        answer = {"answer": "approve", "reason": "strategic customer, margin is recovered", "digest": waiting["digest"]}
        self.ask("POST", "/decisions/{decision_id}/review", answer, by="anna", decision_id=waiting["decision_id"])

    def _ask_as_others_do(self) -> None:
        self.ask("GET", "/.well-known/authzen-configuration")
        self.ask("POST", "/access/v1/evaluation", ACCESS)
        self.ask("POST", "/access/v1/evaluations", ACCESS | {"evaluations": [{}, {"context": {"note": "twice"}}]})
        self.ask("GET", "/health")
        self.ask("GET", "/ready")
        self.ask("GET", "/metrics")
        text = self.ask("GET", "/metrics", accept="text/plain")
        # Its beginning is example enough.
        self.examples["GET /metrics"]["answers"]["200"]["text/plain"] = "".join(text.splitlines(keepends=True)[:12])

    def _change_policies(self) -> None:
        self.ask("POST", "/policies/validate", version("1.2.0"), "application/yaml")
        self.ask("POST", "/policies/validate", yaml.safe_load(version("1.2.0")))
        self.ask("POST", "/policies/{node}/publish", version("1.2.0"), "application/yaml", node="finance")
        self.ask("POST", "/policies/{node}/publish", version("1.2.0"), "application/yaml", node="finance")
        self.ask("POST", "/policies/{node}/publish", yaml.safe_load(version("1.3.0")), node="finance")
        self.ask("GET", "/policies")
        self.ask("GET", "/policies/{ref}", ref=f"{NAME}@1.2.0")
        self.ask("POST", "/policies/{ref}/activate", AUTUMN, ref=f"{NAME}@1.2.0")
        self.ask("POST", "/policies/{name}/rollback", AUTUMN, name=NAME)
        self.ask("POST", "/policies/{ref}/deactivate", AUTUMN, ref=f"{NAME}@1.1.0")
        self.ask("POST", "/policies/{ref}/activate", AUTUMN, ref=f"{NAME}@1.1.0")
        self.ask("POST", "/policies/{ref}/withdraw", AUTUMN, ref=f"{NAME}@1.3.0")
        replay = self.ask("POST", "/replays", {"policy": f"{NAME}@1.2.0", "last": 1000, "limit": 20}, query="?wait=60")
        self.ask("POST", "/replays", {"policy": f"{NAME}@1.2.0"})
        self.ask("GET", "/replays/{replay_id}", replay_id=replay["id"])

    def _change_by_two(self) -> None:
        two = {"second_person": True, "reason": "discounts need maker and checker"}
        self.ask("PUT", "/change-control/{node}", two, node="finance")
        self.ask("GET", "/change-control")
        proposal = self.ask("POST", "/policies/{ref}/activate", AUTUMN, ref=f"{NAME}@1.2.0")
        self.ask("GET", "/proposals")
        self.ask("POST", "/proposals/{proposal_id}/approve", by="anna", proposal_id=proposal["id"])
        proposal = self.ask("POST", "/policies/{name}/rollback", AUTUMN, name=NAME)
        self.ask("POST", "/proposals/{proposal_id}/reject", {"reason": "not before the winter"}, by="anna", proposal_id=proposal["id"])
        self.ask("PUT", "/change-control/{node}", two | {"second_person": False, "reason": "one person is enough"}, node="finance")

    def _switch(self) -> None:
        flag = {"enabled": True, "max_level": 2, "reason": "every approval can be reversed for now"}
        self.ask("PUT", "/flags/{node}/{action}", flag, node="finance", action="approve_discount")
        self.ask("PUT", "/kill-switch", {"halted": True, "reason": "prices of the feed are wrong"})
        self.ask("GET", "/flags")
        self.ask("PUT", "/kill-switch", {"halted": False, "reason": "the feed is right again"})

    def _prove(self) -> None:
        decision = self._api.client.get("/decisions?limit=1").json()["items"][0]["id"]
        self.ask("GET", "/decisions/{decision_id}/proof", query="?wait=proof", decision_id=decision)
        self.ask("GET", "/decisions/{decision_id}/proof", accept="text/plain", decision_id=decision)
        self.ask("GET", "/ledger/head")
        self.ask("GET", "/ledger/keys")
        self.ask("GET", "/ledger/checkpoint", accept="text/plain")

    def _leave_nothing_active(self) -> None:
        for policy in self.ask("GET", "/policies")["items"]:
            if policy["status"] == "active":
                self.ask("POST", "/policies/{ref}/deactivate", AUTUMN, ref=f"{policy['name']}@{policy['version']}")
        self.ask("GET", "/ready")
