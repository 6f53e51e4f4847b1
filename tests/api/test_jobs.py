"""The days of a job, before anybody asks Dagster for them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from in_process import Api
from running_api import INTERNAL_TOKEN

from api.routes.jobs import days_of
from precedent.errors import FieldInvalid

START, YESTERDAY = date(2011, 9, 1), date(2026, 11, 21)
INTERNAL = {"x-internal-token": INTERNAL_TOKEN}


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        ((None, None, None), (YESTERDAY, YESTERDAY)),
        ((START, None, None), (START, START)),
        ((None, START, YESTERDAY), (START, YESTERDAY)),
        ((None, YESTERDAY, YESTERDAY), (YESTERDAY, YESTERDAY)),
    ],
)
def test_a_day_or_a_range_is_taken(asked: tuple[date | None, date | None, date | None], days: tuple[date, date]) -> None:
    assert days_of(*asked, START, YESTERDAY) == days


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ((date(2026, 11, 22), None, None), "/query/partition"),
        ((date(2011, 8, 31), None, None), "/query/partition"),
        ((None, date(2011, 8, 31), YESTERDAY), "/query/from"),
        ((None, START, date(2026, 11, 22)), "/query/to"),
        ((None, YESTERDAY, START), "/query/from"),
        ((None, START, None), "/query/from"),
        ((START, START, START), "/query/from"),
    ],
)
def test_days_that_have_no_partition_are_refused(asked: tuple[date | None, date | None, date | None], pointer: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        days_of(*asked, START, YESTERDAY)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_days_are_utc_days_whatever_the_zone_of_the_schedules(api: Api) -> None:
    """Today in UTC has no partition yet; yesterday has one, and only Dagster, which does not run here, could say more."""
    today = datetime.now(UTC).date()
    refused = api.client.post(f"/jobs/aggregator/run?partition={today}", headers=INTERNAL)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/partition")
    passed = api.client.post(f"/jobs/aggregator/run?partition={today - timedelta(days=1)}", headers=INTERNAL)
    assert (passed.status_code, passed.json()["code"]) == (503, "PIPELINE_UNAVAILABLE")
