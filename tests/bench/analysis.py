"""How long a policy of many rules takes to analyse: every rule, every pair of bands, the gaps, two proofs."""

from __future__ import annotations

from time import perf_counter

from precedent.policy.analyse.analysis import analyse
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from tests.policy.analyse.large import large_policy

RULES = 60


def analysis_seconds(rules: int = RULES) -> float:
    """Seconds for a policy of that many rules, loaded already; nothing of it may stay open."""
    policy = compile_policy(load_document(large_policy(rules), "large.yaml"))
    began = perf_counter()
    report = analyse(policy)
    seconds = perf_counter() - began
    if report.exit_code:
        raise RuntimeError(f"the analysis ended with {report.exit_code}")
    return seconds
