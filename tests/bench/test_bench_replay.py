"""What is timed is a replay that does its work: every decision derived to the same bytes, and some that flip."""

from __future__ import annotations

from pathlib import Path

import pytest
from replaying import append_deals
from running_api import install

from tests.bench.replay import replay_rate
from tests.policy.shipped import FINANCE, compiled


def test_the_newest_decisions_are_derived_and_compared(database_url: str, tmp_path: Path) -> None:
    install(database_url, tmp_path)
    append_deals(database_url, compiled(FINANCE), 120)
    found = replay_rate(database_url, last=100)
    assert (found.decisions, found.is_equal) == (100, True)
    assert min(found.verified_per_second, found.verified_per_cpu_second, found.compared_per_second, found.compared_per_cpu_second) > 0


def test_a_replay_of_nothing_has_no_speed(database_url: str, tmp_path: Path) -> None:
    install(database_url, tmp_path)
    with pytest.raises(RuntimeError, match="nothing to replay"):
        replay_rate(database_url)
