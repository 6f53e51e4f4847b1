"""Every shipped policy is analysed: its invariants are proved, and nothing is an error or open but what is written down here."""

from __future__ import annotations

from pathlib import Path

import pytest

from precedent.policy.analyse.analysis import analyse
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.files import find_policies, read_file
from tests.policy.shipped import POLICIES

# Published versions never change. What is wrong with one stands here, in its README and in docs/analysis.md.
KNOWN = {"finance-constitution@1.0.0": {("REFUTED", "nothing acts alone beyond 15 %")}}


@pytest.mark.parametrize("file", find_policies([POLICIES]), ids=lambda file: file.stem)
def test_a_shipped_policy_has_no_finding_that_is_not_known(file: Path) -> None:
    policy = compile_policy(load_document(read_file(file), file.name))
    report = analyse(policy, timeout_seconds=20)
    known = KNOWN.get(report.policy, set())
    serious = [finding for finding in report.findings if finding.severity in {"error", "open"}]
    unknown = [finding for finding in serious if not any(finding.code == code and name in finding.message for code, name in known)]
    assert unknown == []
    assert len(serious) == len(known)
    refuted = {name for _, name in known}
    for invariant in policy.document.invariants:
        assert (invariant["name"] in refuted) != any(invariant["name"] in proof for proof in report.proved)
