from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.clock import from_instant, to_instant

LATEST_US = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z


@given(st.integers(-62_135_596_800_000_000, LATEST_US))
def test_an_instant_written_and_read_is_the_same(at_us: int) -> None:
    assert from_instant(to_instant(at_us)) == at_us


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1970-01-01t00:00:00.000001z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T00:00:00-00:00", 0),
    ],
)
def test_rfc_3339_is_read(text: str, at_us: int) -> None:
    assert from_instant(text) == at_us


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T12:00:00",  # no zone
        "2026-11-22T12:00:00.1234567Z",  # a digit that would be lost
        "2026-11-22T12:00:00,5Z",
        "2026-11-22T12:00:00.Z",
        "2026-W01-1T00:00:00Z",
        "20261122T120000Z",
        "20261122T12Z",
        "2026-11-22T12:00Z",
        "2026-11-22 12:00:00Z",
        "2026-11-22T12:00:00+0100",
        "2026-11-22T12:00:00+01:00:30",
        "2026-11-22T12:00:00+24:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "٢٠٢٦-11-22T12:00:00Z",
        "2026-11-22T12:00:00Z\n",
        " 2026-11-22T12:00:00Z",
        "2026-11-22",
        "",
    ],
)
def test_anything_else_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_instant(text)
