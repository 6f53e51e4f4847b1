"""`precedent explain`: the page's words on a terminal, and never anything personal."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
from deciding import call, core_of, question
from running_api import Installation
from typer.testing import CliRunner

from precedent.cli.explain import app
from precedent.errors import DecisionNotFound


@pytest.fixture
def decision_id(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", installation.database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(installation.settings.home_dir))
    monkeypatch.setenv("COLUMNS", "200")

    async def decide() -> str:
        async with core_of(installation) as core:
            asked = question(customer_id="C-4711", note="call me")
            return str((await core.decider.decide(asked, call())).place.entry_id)

    return asyncio.run(decide())


def test_a_decision_is_told_on_the_terminal_without_anything_personal(decision_id: str) -> None:
    shown = CliRunner().invoke(app, [decision_id])
    assert shown.exit_code == 0, shown.output
    for words in (
        "Approved, and in effect",
        "8 % off at 31 % margin lies within the broad band",
        "3 points less requested_discount_pct would act within tight guardrails (AL1)",
        "12,000 USD",
        "finance-constitution@1.1.0",
    ):
        assert words in shown.output
    as_json = CliRunner().invoke(app, [decision_id, "--json"])
    assert json.loads(as_json.output)["rule"] == "broad"
    for output in (shown.output, as_json.output):
        assert "4711" not in output
        assert "call me" not in output


def test_what_is_no_decision_is_not_explained(decision_id: str) -> None:
    result = CliRunner().invoke(app, [str(uuid4())])
    assert isinstance(result.exception, DecisionNotFound)
