"""The alerts: Prometheus' own checker reads and tests them, and each leads to what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/prometheus"
RULES = FOLDER / "precedent.rules.yaml"

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def anchors() -> set[str]:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "precedent.rules.yaml"],
        ["check", "config", "--syntax-only", "prometheus.yaml"],
        ["test", "rules", "precedent.rules_test.yaml"],
    ],
    ids=" ".join,
)
def test_prometheus_takes_it(arguments: list[str]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_and_leads_to_a_heading_that_says_what_to_do() -> None:
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    tested = {test["name"] for test in yaml.safe_load((FOLDER / "precedent.rules_test.yaml").read_text())["tests"]}
    assert tested == set(alerts)
    for alert in alerts.values():
        page, anchor = alert["annotations"]["runbook"].split("#")
        assert page == "docs/operations.md"
        assert anchor in anchors(), anchor
        assert alert["labels"]["severity"] in ("page", "ticket")
