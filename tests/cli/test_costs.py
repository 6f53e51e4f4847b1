"""`precedent costs` over what the pipeline noted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sample_entries as sample
from typer.testing import CliRunner

from precedent.adapters.costs import Purpose, Usage, read_book
from precedent.adapters.meter import Call, Ended, Meter
from precedent.cli.costs import app
from precedent.cli.doctor import examine
from precedent.clock import SystemClock
from precedent.db.engine import connect
from precedent.ledger.store import chain_id_of
from precedent.settings import load_settings

COSTS = "currency: EUR\nprices: {wordy: {input: 2, output: 8}}\nbudgets: {all: {tokens: 2000, money: 0.5}}\n"


@pytest.fixture(autouse=True)
def called(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry that was answered, today; one yesterday, of which nobody told the usage, of a model without a price."""
    costs = tmp_path / "costs.yaml"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_MODEL_COSTS_FILE", str(costs))
    sample.append_all(database_url, [sample.decision(1)])
    with connect(database_url) as connection:
        chain_id = chain_id_of(connection, "main")
        costs.write_text("")
        meter = Meter(database_url, chain_id, read_book(costs), SystemClock())
        meter.settle(meter.reserve(Call("old", Purpose.EMBEDDING, None, Usage(7)), 1), Ended(None, "APITimeoutError"))
        connection.execute("update precedent.model_calls set began_at = began_at - interval '1 day'")
    costs.write_text(COSTS)
    meter = Meter(database_url, chain_id, read_book(costs), SystemClock())
    meter.settle(meter.reserve(Call("wordy", Purpose.WORDS, "finance", Usage(1200, 200)), 2), Ended(Usage(1000, 100, 400)))


def said(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False).output


def test_it_shows_each_day_model_and_purpose_and_where_budgets_stand() -> None:
    yesterday, today, tokens, money = said().splitlines()
    assert yesterday[10:] == "  old  embedding  calls 1 (1 failed)  in 7 (cached 0)  out 0  untold 7  no price"
    assert today[10:] == "  wordy  words  calls 1 (1 retries)  in 1,000 (cached 400)  out 100  0.002800 EUR"
    assert tokens == "budget 'all' today: 1,100 of 2,000 tokens, 55%"
    assert money == "budget 'all' today: 0.002800 of 0.500000 EUR, 1%"


def test_rows_are_told_apart_by_what_is_asked() -> None:
    assert [line.split("  calls")[0] for line in said("--by", "node").splitlines()[:2]] == ["-", "finance"]
    assert said("--by", "purpose", "--by", "model", "--days", "1").startswith("words  wordy  calls 1")


def test_json_holds_the_same() -> None:
    told = json.loads(said("--json", "--days", "1"))
    [row] = told["calls"]
    assert (row["model"], row["cost_micros"], row["currency"], row["retries"]) == ("wordy", 2800, "EUR", 1)
    assert [one["unit"] for one in told["budgets"]] == ["tokens", "EUR"]


def test_where_no_model_was_called_it_says_so(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("delete from precedent.model_calls")
    assert said().splitlines()[0] == "no model was called"


def test_doctor_reads_the_file_and_says_where_it_is_wrong(tmp_path: Path) -> None:
    def found() -> tuple[str, bool]:
        [finding] = [one for one in examine(load_settings(home=tmp_path / "home")) if one.subject == "models"]
        return finding.text, bool(finding.fix)

    assert found() == ("prices of 1, budgets: all", False)
    (tmp_path / "costs.yaml").write_text("budgets: {all: {tokens: many}}")
    text, is_bad = found()
    assert "budgets.all.tokens" in text
    assert is_bad
