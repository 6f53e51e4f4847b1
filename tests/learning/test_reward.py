"""The shipped finance policy's reward: won, at a margin of at least what the deciding band asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from precedent.learning.reward import reward_of
from precedent.policy.compile import CompiledPolicy, compile_policy
from precedent.policy.document import load_document
from precedent.settings import project_root

FILE = Path("policies/finance/finance-constitution-1.0.0.yaml")
BROAD = {"max_discount": 1200, "min_margin": 2300}


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    return compile_policy(load_document((project_root() / FILE).read_text(), str(FILE)))


@pytest.mark.parametrize(
    ("metrics", "reward_ppm"),
    [
        ({"won": True, "margin": 2300, "time_to_close_days": 3}, 1_000_000),
        ({"won": True, "margin": 2299}, 0),
        ({"won": False, "margin": 9000}, 0),
        ({"won": True}, None),
        ({}, None),
    ],
)
def test_the_reward_follows_the_bands_edge(policy: CompiledPolicy, metrics: dict[str, int | bool | str], reward_ppm: int | None) -> None:
    assert reward_of(policy, "approve_discount", metrics, BROAD) == reward_ppm


def test_where_no_band_decided_the_reward_is_missing(policy: CompiledPolicy) -> None:
    assert reward_of(policy, "approve_discount", {"won": True, "margin": 2400}, None) is None


def test_an_unknown_action_has_no_reward(policy: CompiledPolicy) -> None:
    assert reward_of(policy, "approve_everything", {"won": True, "margin": 2400}, BROAD) is None
