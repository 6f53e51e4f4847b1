"""The clock of an API process is wrong by an hour: it decides on, and the ledger's own order and times do not follow it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from in_process import DEAL, Api

from precedent.ledger.verify import verify_database

HOUR_SECONDS = 3600.0


@pytest.fixture
def moved(api: Api) -> Api:
    """One key a step: right, an hour ahead, an hour behind, right again; then each is sent again under the next clock."""
    steps = (0.0, HOUR_SECONDS, -HOUR_SECONDS, 0.0)
    keys = [{"idempotency-key": str(uuid4()), "x-cid": f"step-{number}"} for number in range(len(steps))]
    told = []
    try:
        for seconds, key in zip(steps, keys, strict=True):
            api.clock.later_seconds = seconds
            told.append(api.client.post("/decisions/finance", json=DEAL, headers=key))
        assert [answer.status_code for answer in told] == [201] * len(steps)
        for seconds, key, answer in zip((*steps[1:], HOUR_SECONDS), keys, told, strict=True):
            api.clock.later_seconds = seconds
            assert api.client.post("/decisions/finance", json=DEAL, headers=key).json() == answer.json()
    finally:
        api.clock.later_seconds = 0.0
    return api


def test_decisions_under_a_moved_clock_are_kept_once_in_order_and_verify(moved: Api) -> None:
    found = moved.fetch("select correlation_id, recorded_at from precedent.decisions where correlation_id like 'step-%%' order by seq")
    assert [cid for cid, _ in found] == ["step-0", "step-1", "step-2", "step-3"]
    times = [at for _, at in found]
    assert times == sorted(set(times))
    assert (times[-1] - times[0]).total_seconds() < HOUR_SECONDS, "when it was recorded is the database's to say"
    report = verify_database(moved.database_url, processes=1)
    assert report.is_intact, str(report)
