"""A backfill that finds its days being computed waits for that run, and then has its own."""

from __future__ import annotations

from datetime import date

import httpx2
import pytest

from precedent.cli import backfill

DAY = date(2026, 11, 25)
RUNNING = {"code": "JOB_RUNNING", "run_id": "first", "page": "http://127.0.0.1:3000/runs/first"}


def test_a_backfill_goes_behind_the_run_that_computes_its_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "POLL_SECONDS", 0.0)
    answers = iter([(409, RUNNING), (200, {"finished": False}), (200, {"finished": True}), (202, {"run_id": "own", "finished": False})])
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(f"{request.method} {request.url.path}")
        status, body = next(answers)
        return httpx2.Response(status, json=body)

    with httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://127.0.0.1") as client:
        assert backfill._launch(client, "aggregator", DAY, DAY)["run_id"] == "own"
    launch, look = "POST /jobs/aggregator/run", "GET /jobs/runs/first"
    assert asked == [launch, look, look, launch]
