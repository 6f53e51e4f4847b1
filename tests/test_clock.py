from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.clock import RandomPool, from_instant, salt_bytes, to_instant

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


@pytest.mark.parametrize("count", [0, 1, 10, 96, RandomPool.POOL_BYTES, RandomPool.POOL_BYTES + 1])
def test_salts_are_as_long_as_asked_for(count: int) -> None:
    assert [len(salt_bytes(count)) for _ in range(100)] == [count] * 100


def test_no_two_threads_are_given_the_same_salt() -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = [one for many in pool.map(lambda _: [salt_bytes(16) for _ in range(2_000)], range(8)) for one in many]
    assert len(set(taken)) == 16_000


def test_a_forked_process_is_given_other_salts_than_its_parent() -> None:
    pool = RandomPool()
    pool.take(16)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writing, pool.take(512))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as told:
        of_child = told.read()
    assert len(of_child) == 512
    assert of_child != pool.take(512)
