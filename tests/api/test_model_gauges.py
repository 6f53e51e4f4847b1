"""What models cost, in `/metrics`: as the pipeline noted it, beside the budgets of the operator's file."""

from __future__ import annotations

from pathlib import Path

from in_process import Api
from spending import COSTS, plant_calls
from test_measurements import samples


def text_of(api: Api) -> str:
    return api.client.get("/metrics", headers={"accept": "text/plain"}).text


def by(text: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a measure that are not zero, by these labels."""
    found = ((dict(held), value) for (told, held), value in samples(text).items() if told == name and value)
    return {tuple(held[label] for label in labels): value for held, value in found}


def test_calls_tokens_cost_and_budgets_are_told_as_they_were_noted(api: Api) -> None:
    plant_calls(api.database_url)
    text = text_of(api)
    assert by(text, "precedent_model_calls_today", "model", "purpose", "outcome") == {
        **{("wordy", "words", "done"): 2, ("wordy", "words", "failed"): 1, ("wordy", "words", "refused"): 1},
        ("unpriced", "embedding", "open"): 1,
    }
    assert by(text, "precedent_model_tokens_today", "model", "kind") == {
        **{("wordy", "in"): 1100, ("wordy", "cached"): 400, ("wordy", "out"): 110, ("wordy", "untold"): 110},
        **{("unpriced", kind): 50_000 for kind in ("in", "unpriced", "untold")},
    }
    assert by(text, "precedent_model_retries_today", "model", "purpose") == {("wordy", "words"): 1}
    assert by(text, "precedent_model_cost_today", "model", "purpose", "currency") == {("wordy", "words", "EUR"): 0.00308}
    budgets = {("all", "tokens"): (51_210, 0.5121, 0.5, None), ("words of finance", "EUR"): (0.0028, 0.28, 0.8, 1)}
    for place, kind in enumerate(("used", "used_ratio", "warn_ratio", "refused_today")):
        wanted = {budget: values[place] for budget, values in budgets.items() if values[place]}
        assert by(text, f"precedent_model_budget_{kind}", "budget", "unit") == wanted


def test_the_json_says_the_same(api: Api) -> None:
    plant_calls(api.database_url)
    told = api.client.get("/metrics").json()["models"]
    rows = {(row["model"], row["currency"]): row for row in told["today"]}
    assert (rows["wordy", "EUR"]["cost_micros"], rows["wordy", "EUR"]["tokens_day_mean"]) == (3080, 0)
    assert (rows["unpriced", None]["cost_micros"], rows["unpriced", None]["open"]) == (None, 1)
    assert {(row["budget"], row["unit"]): row["share"] for row in told["budgets"]} == {
        ("all", "tokens"): 0.5121,
        ("words of finance", "EUR"): 0.28,
    }


def test_a_file_of_costs_that_cannot_be_read_costs_its_part_of_the_scrape_and_no_decision(api: Api) -> None:
    path = Path(api.client.app.state.services.settings.model_costs_file)  # type: ignore[attr-defined]
    path.write_text("prices: 3")
    try:
        assert api.client.get("/metrics").json()["failed"] == ["models"]
        assert 'precedent_scrape_failed{part="models"} 1.0' in text_of(api)
        api.decide()
    finally:
        path.write_text(COSTS)
    assert api.client.get("/metrics").json()["failed"] == []
