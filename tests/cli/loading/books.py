"""A small API that keeps books: batches, idempotency keys and faults as the real one has them; for what needs faults on demand."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson

Fault = Callable[[httpx2.Request], bool]


def never(request: httpx2.Request) -> bool:
    return False


@dataclass
class Books:
    """`entries` is what was recorded, in order. The faults say whether the answer is lost before or after the recording."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[tuple[str, str, int], tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)
    fails: Fault = never
    fails_but_persists: Fault = never
    refuses: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda element: None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.fails(request):
            raise httpx2.ConnectError("connection refused")
        content = orjson.loads(request.content)
        kind = {"/events": "event", "/outcomes": "outcome"}.get(request.url.path, "decision")
        elements = content if isinstance(content, list) else content[f"{kind}s"]
        answers = [self._record(request, kind, place, element) for place, element in enumerate(elements)]
        if self.fails_but_persists(request):
            raise httpx2.ReadError("connection reset")
        if kind != "event":
            return httpx2.Response(200, json={"answers": answers})
        rejected = [{"index": place, **one} for place, one in enumerate(answers) if "id" not in one]
        ids = [one.get("id") for one in answers]
        return httpx2.Response(
            422 if len(rejected) == len(ids) else 201, json={"accepted": len(ids) - len(rejected), "ids": ids, "rejected": rejected}
        )

    def _record(self, request: httpx2.Request, kind: str, place: int, element: dict[str, Any]) -> dict[str, Any]:
        if (refusal := self.refuses({"kind": kind, **element})) is not None:
            return {"status": refusal[0], "code": refusal[1], "detail": "words", "errors": []}
        claim, body = (request.url.path, request.headers["idempotency-key"], place), orjson.dumps(element)
        if claim in self.answers:
            first, answer = self.answers[claim]
            if first != body:
                return {"status": 422, "code": "IDEMPOTENCY_KEY_REUSED", "detail": "another body"}
            return answer
        answer = self._answer(kind, element)
        self.answers[claim] = (body, answer)
        self.entries.append({"kind": kind, **element})
        return answer

    def _answer(self, kind: str, element: dict[str, Any]) -> dict[str, Any]:
        entry_id = str(uuid.UUID(int=len(self.entries) + 1))
        if kind == "event":
            return {"id": entry_id}
        if kind == "outcome":
            return {"decision_id": element["decision_id"], "revision": 1, "reward": 1.0 if element["metrics"]["won"] else 0.0}
        verdict = "approve" if element["facts"]["amount"] < 1000 else "deny"
        return {"id": entry_id, "verdict": verdict, "autonomy_level": 1 if verdict == "approve" else 0}
