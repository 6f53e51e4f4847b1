"""What rules read of a decision's memory section: features by name, and what its precedents tell. Pure.

The section, sealed with the decision, is all that a replay has and needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rule_values(memory: Mapping[str, Any]) -> dict[str, Any]:
    """`memory.…` by name without that prefix; what is not known is left out.

    A success rate exists only where a precedent has a reward: reading it otherwise is an error, and an error escalates.
    """
    values: dict[str, Any] = dict(memory["features"])
    found = memory.get("precedents")
    if found is not None:
        values["precedents.count"] = found["count"]
        values["precedents.novel"] = found["novel"]
        if found["success_rate_bp"] is not None:
            values["precedents.success_rate"] = found["success_rate_bp"]
    return values
