"""Replays of a chain in its database: planned, spread over processes, compared with what was recorded. Nothing is appended."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import orjson
import psycopg
import pytest
from deciding import call, core_of, question, size_of
from replaying import ENABLED, NOVEMBER_US, append_all, append_deals, decision_of
from running_api import Installation, install

from precedent.errors import PolicyInvalid, PolicyNotFound
from precedent.learning import replay_run
from precedent.learning.blast import blast_radius, flip_report
from precedent.learning.flips import standing_of
from precedent.learning.replay import Fault
from precedent.learning.replay_report import VerifyReport
from precedent.learning.replay_run import find_source
from precedent.learning.replay_worker import Source, Verified, Window
from precedent.policy.evaluate import evaluate, moment_of
from precedent.policy.registry import activate, publish
from tests.policy.shipped import CREDIT, DEAL, FINANCE, compile_text, compiled, finance_with

COUNT = 700
MINUTE_US = 60_000_000
NARROW = finance_with(("1.0.0", "1.5.0"), ("max_discount: 0.15", "max_discount: 0.13"), ("min_margin: 0.25", "min_margin: 0.30"))
ALL = Window()


@pytest.fixture(scope="module")
def filled(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Deals a minute apart, then a few loans."""
    made = install(module_database_url, tmp_path_factory.mktemp("home"))
    append_deals(module_database_url, compiled(FINANCE), COUNT)
    loans = [decision_of(compiled(CREDIT), "accept_application", {"amount_requested": 1000 * number}) for number in range(20)]
    append_all(module_database_url, loans)
    return made


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_run, "SPAN_ENTRIES", 200)


def verified(made: Installation, window: Window = ALL, processes: int | None = None) -> Verified:
    return replay_run.verify(made.database_url, "main", window, processes).outcome


def test_every_decision_gives_the_same_bytes_again(filled: Installation) -> None:
    before = size_of(filled.database_url)
    found = verified(filled)
    assert (found.read, found.equal, found.findings) == (COUNT + 20, COUNT + 20, [])
    assert size_of(filled.database_url) == before


async def decide_some(installation: Installation, count: int) -> None:
    async with core_of(installation) as core:
        for number in range(count):
            await core.decider.decide(question(deal_value=number, customer_id="C-1", note="a person's"), call())


def test_what_the_core_decides_gives_the_same_bytes_again(installation: Installation) -> None:
    asyncio.run(decide_some(installation, 5))
    found = verified(installation)
    assert (found.read, found.equal) == (5, 5)


def test_processes_and_spans_change_nothing(filled: Installation, small_spans: None) -> None:
    heard: list[tuple[int, int]] = []
    here = replay_run.verify(filled.database_url, "main", ALL, 1, lambda done, total: heard.append((done, total)))
    assert here.outcome == verified(filled, processes=2)
    assert heard[-1] == (here.head + 1, here.head + 1)


def test_a_comparison_is_the_same_over_processes(filled: Installation, small_spans: None) -> None:
    here, there = (flip_report(filled.database_url, "main", Source(NARROW, "n"), ALL, processes=number) for number in (1, 2))
    assert here.as_dict() == there.as_dict()


def test_windows_are_exact(filled: Installation, small_spans: None) -> None:
    assert verified(filled, Window(last=1)).read == 1
    assert verified(filled, Window(last=300)).read == 300
    assert verified(filled, Window(last=9_999)).read == COUNT + 20
    inside = Window(from_us=NOVEMBER_US + 10 * MINUTE_US, to_us=NOVEMBER_US + 20 * MINUTE_US)
    assert verified(filled, inside).read == 10
    for window, count in ((inside, 10), (Window(last=50), 50), (Window(to_us=NOVEMBER_US), 0), (ALL, COUNT)):
        report = flip_report(filled.database_url, "main", Source(NARROW, "n"), window)
        assert report.tally.read == count, window
    newest = flip_report(filled.database_url, "main", Source(NARROW, "n"), Window(last=50), limit=50).tally.differences
    assert min(one.decided_at for one in newest) >= "2025-11-01T"
    assert {one.correlation_id for one in newest} <= {f"deal-{number:06}" for number in range(COUNT - 50, COUNT)}


def test_a_candidate_flips_exactly_those_that_it_decides_otherwise(filled: Installation) -> None:
    """Counted here from the projection, decision by decision, without any code of replay."""
    report = flip_report(filled.database_url, "main", Source(NARROW, "n"), ALL, limit=1000)
    candidate = compile_text(NARROW)
    expected: Counter[tuple[tuple[str, int], tuple[str, int]]] = Counter()
    money: Counter[tuple[tuple[str, int], tuple[str, int]]] = Counter()
    rows = {}
    with psycopg.connect(filled.database_url) as connection:
        for key, inputs, output, at in connection.execute(
            "select id::text, inputs, output, ts from precedent.decisions where node = 'finance'"
        ):
            moment = moment_of(round(at.timestamp() * 1e6), "UTC")
            result = evaluate(candidate, "approve_discount", inputs, {}, moment, ENABLED).as_core()
            move = ((output["verdict"], output["level"]), (result["verdict"], result["level"]))
            rows[key] = (output, result)
            expected[move] += 1
            money[move] += inputs["deal_value"]
    assert {move: moved.count for move, moved in report.tally.moves.items()} == dict(expected)
    assert report.tally.flips == sum(count for (was, becomes), count in expected.items() if was != becomes) > 20
    assert {(was, becomes): moved.money["deal_value", "USD"] for was, becomes, moved in report.moves} == {
        move: total for move, total in money.items() if move[0] != move[1]
    }
    assert report.tally.same == sum(output == result for output, result in rows.values())
    assert len(report.tally.differences) == COUNT - report.tally.same
    for difference in report.tally.differences:
        assert (difference.before, difference.after) == rows[difference.entry_id]
        assert standing_of(difference.before) == difference.move[0]


def test_under_the_same_policy_nothing_differs(filled: Installation) -> None:
    source = find_source(filled.database_url, "main", "finance-constitution")
    for before in (None, source):
        report = flip_report(filled.database_url, "main", source, ALL, before=before)
        assert (report.tally.same, report.tally.flips, report.tally.reworded) == (COUNT, 0, 0)
        assert report.agreement() == {"verdict": 1.0, "verdict_and_level": 1.0}
        assert report.tally.differences == []


def test_a_candidate_that_needs_more_than_was_recorded_is_told_so(filled: Installation) -> None:
    tier = "      customer_tier:          {type: enum, values: [A, B, C]}\n"
    text = finance_with((tier, tier + "      region: {type: enum, values: [EU, US]}\n"))
    report = flip_report(filled.database_url, "main", Source(text, "n"), ALL)
    assert (report.tally.read, report.tally.decided) == (COUNT, 0)
    assert report.as_dict()["not_decidable"] == [{"reason": "the fact region was not asked for", "count": COUNT}]
    assert report.agreement() == {"verdict": None, "verdict_and_level": None}
    assert f"{COUNT} × the fact region was not asked for" in str(report)


def test_a_candidate_with_problems_is_refused(filled: Installation) -> None:
    with pytest.raises(PolicyInvalid):
        flip_report(filled.database_url, "main", Source(finance_with(("bands:", "bonds:")), "n"), ALL)
    with pytest.raises(PolicyNotFound):
        find_source(filled.database_url, "main", "finance-constitution@9.9.9")


def test_the_text_of_a_report_says_who_flips(filled: Installation) -> None:
    report = flip_report(filled.database_url, "main", Source(NARROW, "n"), ALL, limit=2)
    text = str(report)
    assert "finance-constitution@1.5.0 beside what was decided" in text
    assert "approve AL3 → escalate" in text
    assert "was      approve AL" in text
    assert "becomes  " in text
    assert "customer_tier: A" in text
    assert orjson.loads(orjson.dumps(report.as_dict()))["flips"] == report.tally.flips


# what is wrong


@pytest.fixture
def wrong(installation: Installation) -> Installation:
    """One decision of each kind that can't be derived to its bytes, among five that can."""
    policy = compiled(FINANCE)
    drafts = [decision_of(policy, "approve_discount", DEAL) for _ in range(5)]
    drafts.append(decision_of(policy, "approve_discount", DEAL, changed={"verdict": "deny", "level": 3}))
    drafts.append(decision_of(policy, "approve_discount", DEAL, evaluator="precedent/0", changed={"rule": "broader"}))
    drafts.append(decision_of(policy, "approve_discount", DEAL, evaluator="precedent/0"))
    other = compile_text(finance_with(("1.0.0", "1.0.7")))
    drafts.append(decision_of(other, "approve_discount", DEAL))
    drafts.append(decision_of(replace(policy, document=replace(policy.document, digest_hex="ab" * 32)), "approve_discount", DEAL))
    append_all(installation.database_url, drafts)
    return installation


def test_what_does_not_follow_is_named_and_another_evaluator_is_counted_apart(wrong: Installation) -> None:
    done = replay_run.verify(wrong.database_url, "main", ALL)
    report = VerifyReport("main", "all", done.head, done.outcome)
    assert not report.is_equal
    assert done.outcome.faults == {Fault.DIFFERS: 1, Fault.EVALUATOR_CHANGED: 1, Fault.NOT_DERIVABLE: 2}
    first, second, third, fourth = done.outcome.findings
    assert first.paths == ("/result/level", "/result/verdict")
    assert second.words.startswith("recorded by precedent/0")
    assert "finance-constitution@1.0.7" in third.words
    assert "is not published here" in fourth.words
    assert done.outcome.evaluators["precedent/0"] == [2, 1]
    text = str(report)
    assert "recorded by precedent/0" in text
    assert "1 of 2 equal" in text
    assert f"seq {first.seq} ({first.entry_id}) differs: /result/level is 3, derived 2" in text
    assert "100 %" not in text


def test_another_evaluator_can_be_allowed_and_nothing_else(wrong: Installation) -> None:
    window = Window(last=4)
    done = replay_run.verify(wrong.database_url, "main", window)
    assert not VerifyReport("main", "", done.head, done.outcome, allows_evaluators=True).is_equal
    changed = Verified(read=2, equal=1, faults={Fault.EVALUATOR_CHANGED: 1})
    assert VerifyReport("main", "", 1, changed, allows_evaluators=True).is_equal
    assert not VerifyReport("main", "", 1, changed).is_equal


def test_a_changed_text_of_a_policy_is_found_by_its_digest(filled: Installation) -> None:
    with psycopg.connect(filled.database_url) as connection:
        connection.execute(
            "update precedent.policy_versions set source = replace(source, '0.12', '0.11') where name = 'finance-constitution'"
        )
        connection.commit()
        try:
            found = verified(filled)
        finally:
            connection.execute(
                "update precedent.policy_versions set source = replace(source, '0.11', '0.12') where name = 'finance-constitution'"
            )
            connection.commit()
    assert found.faults == {Fault.NOT_DERIVABLE: COUNT}
    assert "the stored text of finance-constitution@1.0.0 has the digest" in found.findings[0].words


# before activation


def test_the_blast_radius_is_measured_beside_the_active_version(filled: Installation) -> None:
    url, settings = filled.database_url, filled.settings
    assert publish(url, settings, NARROW, "n", "tests").is_new
    before = size_of(url)
    radius = blast_radius(url, settings, "finance-constitution@1.5.0", last=300)
    assert size_of(url) == before
    assert radius.report.before == "finance-constitution@1.1.0"
    assert radius.report.tally.read == 300
    assert radius.flips > 10
    assert str(radius).startswith("blast radius: finance-constitution@1.5.0 beside finance-constitution@1.1.0, the last 300")
    assert "approve AL3 → escalate" in str(radius)
    activate(url, settings, "finance-constitution@1.5.0", "tests")
    again = blast_radius(url, settings, "finance-constitution@1.5.0", last=300)
    assert again.flips == again.report.tally.reworded == 0
    back = blast_radius(url, settings, "finance-constitution@1.1.0", last=300)
    assert back.flips == radius.flips


def test_the_blast_radius_of_a_policy_that_nobody_asked_is_said_to_be_unknown(installation: Installation) -> None:
    radius = blast_radius(installation.database_url, installation.settings, "finance-constitution@1.1.0")
    assert str(radius).endswith("no decision of these actions lies there")
