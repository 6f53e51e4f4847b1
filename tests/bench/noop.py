"""The endpoint that does nothing: FastAPI as in its tutorial, with the models of the decision endpoint, in the API's own uvicorn.

It parses the body with pydantic, makes an answer of constants and one new id, and sends it through `response_model`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from fastapi import FastAPI

import api.__main__
from api.models import Change, Counterfactual, DecisionAnswer, DecisionRequest, Reason, Receipt

app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ok": True}


@app.post("/decisions/{node}", status_code=201, response_model=DecisionAnswer)
async def decide(node: str, question: DecisionRequest) -> DecisionAnswer:
    text = "8 % off at 31 % margin lies within the broad band (12 %, 23 %)"
    return DecisionAnswer(
        id=uuid4(),
        node=node,
        action=question.action or "approve_discount",
        verdict="approve",
        approved=True,
        effective=True,
        requires_human=False,
        autonomy_level=2,
        rule="broad",
        reason=text,
        reasons=[Reason(code="WITHIN_BROAD", text=text), Reason(code="ABOVE_TIGHT", text="8 % is above the 5 % of the tight band")],
        policy_version="finance-constitution@1.0.0",
        variant="A",
        counterfactual=Counterfactual(text="at 5 % it needs less authority", changes=[Change(fact="requested_discount_pct", to="5 %")]),
        recommendation=None,
        review=None,
        latency_ms=0.1,
        ts=datetime.now(UTC),
        correlation_id=question.correlation_id or "noop",
        event_id=question.event_id,
        imported=False,
        hash="ab" * 32,
        prev_hash="cd" * 32,
        receipt=Receipt(chain="main", seq=0, envelope="A" * 152),
    )


if __name__ == "__main__":
    # The API's own main, so that its uvicorn settings cannot drift from these.
    vars(api.__main__)["create_app"] = lambda _settings: app
    api.__main__.main()
