"""What models cost, by a real server of the protocol and a real database: counted, retried, failed, bounded, by many at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from embedding_server import CHAIN, EmbeddingServer, client_of, serve_embeddings
from psycopg.rows import dict_row

from precedent.adapters.costs import Budget, CostBook, Price, Purpose, Usage, read_book
from precedent.adapters.meter import Call, Meter
from precedent.adapters.openai import most_tokens
from precedent.adapters.spend import standings, today_and_before, totals_by
from precedent.adapters.spend_store import Spent, read_spent, take_turn
from precedent.clock import SystemClock
from precedent.db.engine import PIPELINE, connect
from precedent.errors import BudgetSpent, DatabaseUnavailable, PipelineUnavailable, SettingsInvalid
from precedent.memory.embedder import Case, OpenAIEmbedder
from precedent.memory.snapshot import ANSWER_COUNTS
from precedent.memory.wording import model_writer
from precedent.memory.words import TEMPLATE

MODEL = "text-embedding-3-small"
PRICES = {MODEL: Price(input=Decimal("0.50")), "wordy": Price(input=Decimal(2), cached=Decimal(1), output=Decimal(8))}
TOLD = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150, "prompt_tokens_details": {"cached_tokens": 20}}
FACTS = {
    **{"node": "finance", "day": "2026-03-02", "actions": [], "rules": [], "successes": [], "failures": [], "sources": {}},
    "totals": {"decisions_count": 0, "approved_count": 0, "denied_count": 0, "escalated_count": 0, "effective_count": 0},
    "answered": dict.fromkeys(ANSWER_COUNTS, 0),
    "outcomes": {"matured_count": 0, "rewarded_count": 0, "reward_mean_bp": None},
    "change": {
        **{"against": "2026-02-23", "decisions_count_before": 0, "decisions_delta": 0, "approved_bp": 0, "approved_before_bp": 0},
    },
}


@pytest.fixture
def models() -> Iterator[EmbeddingServer]:
    with serve_embeddings() as running:
        running.usage = TOLD
        yield running


def book(prices: dict[str, Price] | None = None, **budgets: Budget) -> CostBook:
    return CostBook(currency="EUR", prices=PRICES if prices is None else prices, budgets=budgets)


def calls(url: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute("select * from precedent.model_calls order by began_at, id, is_final").fetchall()


def spent(url: str, days: int = 0) -> list[Spent]:
    with connect(url, PIPELINE) as connection:
        return read_spent(connection, CHAIN, days)


def counted(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["outcome"], row["why"], row["counted"], row["tokens_in"], row["tokens_cached"], row["tokens_out"], row["cost_micros"]


def test_a_call_is_reserved_before_it_is_made_and_counted_as_the_server_tells_it(models: EmbeddingServer, database_url: str) -> None:
    seen = []
    models.say = lambda _: (seen.extend(calls(database_url)), "Nothing was decided.")[1]  # type: ignore[func-returns-value]
    written = model_writer(client_of(models, database_url, book=book()), "wordy")(FACTS)
    assert written == ("Nothing was decided.", "wordy")
    before, after = calls(database_url)
    assert seen == [before], "while the server was asked, the reservation stood alone"
    most = before["tokens_in"]
    assert counted(before) == ("open", None, "bound", most, 0, 400, most * 2 + 400 * 8)
    assert most >= len(models.prompts[0].encode())
    assert counted(after) == ("done", None, "told", 120, 20, 30, 100 * 2 + 20 * 1 + 30 * 8)
    shared = ("id", "began_at", "model", "purpose", "node", "attempt", "currency")
    assert [after[name] for name in shared] == [before[name] for name in shared]
    assert (after["model"], after["purpose"], after["node"], after["attempt"], after["currency"]) == ("wordy", "words", "finance", 1, "EUR")
    assert (before["duration_ms"], after["duration_ms"] >= 0) == (None, True)
    [total] = spent(database_url)
    assert (total.done, total.open, total.tokens, total.cost_micros, total.tokens_untold) == (1, 0, 150, 460, 0)


def test_cases_are_sent_by_node_and_come_back_in_their_order(models: EmbeddingServer, database_url: str) -> None:
    embedder = OpenAIEmbedder(client_of(models, database_url, book=book()))
    cases = [Case(f"{node}/act", {"n": n}) for n, node in enumerate(["finance", "hr", "finance"])]
    vectors = embedder.embed(cases)
    assert models.texts == ["finance/act; n = 0", "finance/act; n = 2", "hr/act; n = 1"]
    assert vectors == [vector for case in cases for vector in embedder.embed([case])]
    assert {row["node"] for row in calls(database_url)} == {"finance", "hr"}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": 10**30, "completion_tokens": 3},
        {"prompt_tokens": 7},
    ],
    ids=["absent", "nothing", "negative", "words", "endless", "half"],
)
def test_where_the_server_tells_no_usage_the_most_it_can_be_counts(models: EmbeddingServer, database_url: str, usage: Any) -> None:
    models.usage = usage
    models.say = lambda _: "Nothing was decided."
    assert model_writer(client_of(models, database_url, book=book()), "wordy")(FACTS)[1] == "wordy"
    before, after = calls(database_url)
    assert counted(after) == ("done", None, "bound", *counted(before)[3:])
    [total] = spent(database_url)
    assert total.tokens_untold == total.tokens > 0


def test_without_a_price_tokens_are_counted_and_the_cost_is_unknown(models: EmbeddingServer, database_url: str) -> None:
    OpenAIEmbedder(client_of(models, database_url)).embed_texts(["one"], ["finance"])
    [total] = spent(database_url)
    assert (total.tokens, total.tokens_unpriced, total.cost_micros, total.currency) == (1, 1, 0, None)


def test_each_retry_is_a_call_of_its_own(models: EmbeddingServer, database_url: str) -> None:
    answer = models.answer

    def answer_third(texts: list[str]) -> Any:
        models.status = 200 if len(models.texts) == 3 else 503
        return answer(texts)

    models.answer = answer_third
    OpenAIEmbedder(client_of(models, database_url, book=book(), attempts=3)).embed_texts(["one"], ["finance"])
    final = [row for row in calls(database_url) if row["is_final"]]
    assert [(row["attempt"], *counted(row)) for row in final] == [
        (1, "failed", "status 503", "none", 0, 0, 0, 0),
        (2, "failed", "status 503", "none", 0, 0, 0, 0),
        (3, "done", None, "told", 1, 0, 0, 1),
    ]
    [total] = spent(database_url)
    assert (total.done, total.failed, total.retries, total.tokens) == (1, 2, 2, 1)


def test_a_refusal_is_not_tried_again_and_its_words_are_not_kept(models: EmbeddingServer, database_url: str) -> None:
    models.answer = lambda texts: {"error": {"message": "no such key: sk-secret"}}
    models.status = 401
    with pytest.raises(PipelineUnavailable, match="status 401"):
        OpenAIEmbedder(client_of(models, database_url, attempts=3)).embed_texts(["to anna"], ["finance"])
    assert len(models.texts) == 1
    assert [row["why"] for row in calls(database_url)] == [None, "status 401"]
    assert not {"sk-secret", "anna"} & set(json.dumps(calls(database_url), default=str).replace('"', " ").split())


def test_a_call_that_was_sent_and_not_answered_counts_at_its_most_and_one_that_never_left_counts_nothing(
    models: EmbeddingServer, database_url: str
) -> None:
    models.is_silent.set()
    with pytest.raises(PipelineUnavailable):
        OpenAIEmbedder(client_of(models, database_url, timeout_seconds=0.2)).embed_texts(["one"], ["finance"])
    nobody = EmbeddingServer("http://127.0.0.1:1/v1")
    with pytest.raises(PipelineUnavailable):
        OpenAIEmbedder(client_of(nobody, database_url)).embed_texts(["one"], ["finance"])
    silent, unsent = [row for row in calls(database_url) if row["is_final"]]
    assert (silent["outcome"], silent["counted"], silent["tokens_in"]) == ("failed", "bound", most_tokens("one"))
    assert (unsent["outcome"], unsent["counted"], unsent["tokens_in"]) == ("failed", "none", 0)


def test_a_call_whose_process_ended_before_it_told_counts_at_its_most(database_url: str) -> None:
    limited = book(all=Budget(tokens=100))
    meter = Meter(database_url, CHAIN, limited, SystemClock())
    call = Call(MODEL, Purpose.EMBEDDING, "finance", Usage(60))
    meter.reserve(call, 1)
    [standing] = standings(limited, spent(database_url))
    assert (standing.used, spent(database_url)[0].open) == (60, 1)
    with pytest.raises(BudgetSpent):
        Meter(database_url, CHAIN, limited, SystemClock()).reserve(call, 1)


def test_what_was_used_stands_when_the_work_is_rolled_back(models: EmbeddingServer, database_url: str) -> None:
    with connect(database_url, PIPELINE) as work:
        work.execute("select 1")
        OpenAIEmbedder(client_of(models, database_url)).embed_texts(["one"], ["finance"])
        work.rollback()
    assert [row["outcome"] for row in calls(database_url)] == ["open", "done"]


def test_a_call_that_cannot_be_reserved_is_not_made(models: EmbeddingServer, database_url: str) -> None:
    away = database_url.replace("/t_", "/gone_", 1)
    with pytest.raises(DatabaseUnavailable):
        OpenAIEmbedder(client_of(models, away)).embed_texts(["one"], ["finance"])
    assert models.texts == []


def test_over_its_budget_a_call_is_not_made_and_the_refusal_is_noted(models: EmbeddingServer, database_url: str) -> None:
    limited = book(**{"embedding, all nodes": Budget(purpose=Purpose.EMBEDDING, money=Decimal("0.000010"))})
    embedder = OpenAIEmbedder(client_of(models, database_url, book=limited))
    embedder.embed_texts(["one"], ["finance"])
    with pytest.raises(BudgetSpent, match=r"'embedding, all nodes', 0\.00001 EUR, 0\.000001 are used, and this could use 0\.0000"):
        embedder.embed_texts(["a text that is longer"], ["hr"])
    assert models.texts == ["one"]
    assert counted(calls(database_url)[-1]) == ("refused", "embedding, all nodes", "none", 0, 0, 0, 0)
    [standing] = standings(limited, spent(database_url))
    assert (standing.used, standing.limit, standing.refused) == (0.000001, 0.00001, 1)
    with connect(database_url) as connection:  # the next day
        connection.execute("update precedent.model_calls set began_at = began_at - interval '1 day'")
    assert standings(limited, spent(database_url, 7))[0].used == 0
    embedder.embed_texts(["one"], ["hr"])


def test_a_snapshot_is_worded_by_the_template_once_the_budget_is_spent(models: EmbeddingServer, database_url: str) -> None:
    models.say = lambda _: "Nothing was decided."
    limited = book(words=Budget(purpose=Purpose.WORDS, node="finance", tokens=10_000))
    write = model_writer(client_of(models, database_url, book=limited), "wordy")
    models.usage = {"prompt_tokens": 9_900, "completion_tokens": 0}
    assert [write(FACTS)[1] for _ in range(2)] == ["wordy", TEMPLATE]
    assert write(FACTS | {"node": "hr"})[1] == "wordy", "another node's day is not held to it"
    assert len(models.prompts) == 2


def test_a_budget_of_money_lets_no_model_without_a_price_pass(models: EmbeddingServer, database_url: str) -> None:
    limited = book(prices={}, all=Budget(money=Decimal(1)))
    with pytest.raises(BudgetSpent, match="no price"):
        OpenAIEmbedder(client_of(models, database_url, book=limited)).embed_texts(["one"], ["finance"])
    assert models.texts == []


def test_a_budget_that_is_nearly_used_is_told_in_the_log_once(
    models: EmbeddingServer, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = models.answer
    models.answer = lambda texts: answer(texts) | {"usage": {"prompt_tokens": 45, "total_tokens": 45}}
    embedder = OpenAIEmbedder(client_of(models, database_url, book=book(all=Budget(tokens=200, warn_at=Decimal("0.4")))))
    for _ in range(4):
        embedder.embed_texts(["one"], ["finance"])
    assert capsys.readouterr().out.count("model_budget_nearly_used") == 1


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_callers_at_once_stay_within_the_budget_and_all_of_it_can_be_used(
    models: EmbeddingServer, database_url: str, isolation: str
) -> None:
    with connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"alter database {name} set default_transaction_isolation = '{isolation}'".encode())
    most = most_tokens("one")
    limited = book(all=Budget(tokens=5 * most))
    answer = models.answer
    models.answer = lambda texts: answer(texts) | {"usage": {"prompt_tokens": most, "total_tokens": most}}

    def ask(_: int) -> bool:
        try:
            OpenAIEmbedder(client_of(models, database_url, book=limited)).embed_texts(["one"], ["finance"])
        except BudgetSpent:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(ask, range(12)))
    assert (sum(made), len(models.texts)) == (5, 5)
    [standing] = standings(limited, spent(database_url))
    assert (standing.used, standing.refused) == (5 * most, 7)


def test_who_reserves_waits_for_whoever_reserves_before(database_url: str) -> None:
    limited = book(all=Budget(tokens=100))
    call = Call(MODEL, Purpose.EMBEDDING, "finance", Usage(60))
    waiting = """select count(*) from pg_locks l join pg_database d on d.oid = l.database
                 where d.datname = current_database() and l.locktype = 'advisory' and not l.granted"""
    with connect(database_url, PIPELINE) as first, connect(database_url, autocommit=True) as watch, ThreadPoolExecutor(1) as pool:
        take_turn(first, CHAIN)
        first.execute(
            """insert into precedent.model_calls (chain_id, id, is_final, began_at, model, purpose, attempt, outcome, counted,
                   tokens_in, tokens_cached, tokens_out)
               values (%s, gen_random_uuid(), false, now(), 'other', 'words', 1, 'open', 'bound', 60, 0, 0)""",
            (CHAIN,),
        )
        second = pool.submit(Meter(database_url, CHAIN, limited, SystemClock()).reserve, call, 1)
        while not second.done() and watch.execute(waiting).fetchone() == (0,):
            pass
        assert not second.done()
        first.commit()
        with pytest.raises(BudgetSpent, match="60 are used"):
            second.result()


def test_todays_totals_stand_beside_the_mean_of_the_week_before(models: EmbeddingServer, database_url: str) -> None:
    embedder = OpenAIEmbedder(client_of(models, database_url, book=book()))
    answer = models.answer
    for days, tokens in ((8, 10_000), (7, 70), (1, 700), (0, 3000)):
        models.answer = lambda texts, used=tokens: answer(texts) | {"usage": {"prompt_tokens": used}}  # type: ignore[misc]
        embedder.embed_texts(["one"], ["finance"])
        with connect(database_url) as connection:
            connection.execute(
                "update precedent.model_calls set began_at = began_at - %s * interval '1 day' where began_at > now() - interval '1 hour'",
                (days,),
            )
    with connect(database_url) as connection:  # one that has no price any more, and was used yesterday alone
        connection.execute("update precedent.model_calls set currency = null, cost_micros = null where tokens_in = 700")
    found = {row["currency"]: row for row in today_and_before(spent(database_url, 7))}
    assert set(found) == {None, "EUR"}
    assert [found["EUR"][name] for name in ("done", "tokens_in", "tokens_day_mean", "cost_micros", "cost_micros_day_mean")] == [
        1,
        3000,
        10,
        1500,
        5,
    ]
    assert [found[None][name] for name in ("done", "tokens_in", "tokens_day_mean", "cost_micros")] == [
        0,
        0,
        100,
        None,
    ]
    assert [row["tokens_in"] for row in totals_by(spent(database_url, 7), "day")] == [70, 700, 3000]


def test_chains_have_budgets_of_their_own(models: EmbeddingServer, database_url: str) -> None:
    limited = book(all=Budget(tokens=most_tokens("one")))
    for chain_id in (CHAIN, UUID(int=2)):
        OpenAIEmbedder(client_of(models, database_url, chain_id, limited)).embed_texts(["one"], ["finance"])
    assert len(models.texts) == 2


@pytest.mark.parametrize("change", ["update precedent.model_calls set tokens_in = 0", "delete from precedent.model_calls"])
def test_no_role_changes_what_was_counted(database_url: str, change: str) -> None:
    with connect(database_url, PIPELINE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(change.encode())


def test_the_file_of_costs_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text("currency: EUR\nprices:\n  wordy: {input: 2, cached: 1, output: 8.5}\nbudgets:\n  all: {money: 5.00, tokens: 1000}\n")
    held = read_book(path)
    assert held.prices["wordy"].output == Decimal("8.5")
    assert held.budgets["all"].warn_at == Decimal("0.8")
    assert held.cost_micros("wordy", Usage(3, 1, 1)) == 14, "4 + 1 + 8.5, rounded up"
    assert held.cost_micros("other", Usage(3)) is None
    assert book().cost_micros(MODEL, Usage(1, 1)) is None, "what is written has no price"
    for text, place in {
        "prices: {wordy: {input: 2}}": "currency",
        "budgets: {all: {}}": "budgets.all",
        "budgets: {all: {money: 5}}": "currency",
        "currency: EUR\nprices: {wordy: {input: -1}}": "prices.wordy.input",
        "currency: EUR\nprices: {wordy: {input: .nan}}": "prices.wordy.input",
        "budgets: {all: {tokens: 5, warn_at: 80}}": "budgets.all.warn_at",
        "budgets: {all: {tokens: 5, purpose: wording}}": "budgets.all.purpose",
        "budgets: {all: {token: 5}}": "budgets.all.token",
        "- a": "file",
        "a: [": "costs.yaml",
    }.items():
        path.write_text(text)
        with pytest.raises(SettingsInvalid, match=place):
            read_book(path)
    with pytest.raises(SettingsInvalid, match="absent"):
        read_book(tmp_path / "absent.yaml")
    assert read_book(None) == CostBook()
