"""An outcome as a number, by the expression that the policy declares."""

from __future__ import annotations

from collections.abc import Mapping

from precedent.policy.compile import CompiledPolicy


def reward_of(
    policy: CompiledPolicy, action: str, metrics: Mapping[str, int | bool | str], band_numbers: Mapping[str, int] | None
) -> int | None:
    """The reward in ppm, 0 to 1,000,000. None where no band decided, the policy declares no reward, or a metric it reads is absent:
    a missing reward is missing, not a failure.

    `metrics` are typed (money in minor units, ratios in basis points), `band_numbers` those of the band that decided, None
    where a guard or `otherwise` did: those permit nothing, so nothing came of a permission.
    """
    return None if band_numbers is None else policy.reward_ppm(action, metrics, band_numbers)
