"""docs/operations.md, its commands typed in order into one shell, beside two API processes on one database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from receiving import Receiver, receiving
from running_api import NOWHERE, ApiProcess, environment_of, install, serve
from typed_commands import Run, Shell, commands_of, shell_in, unaccounted

from precedent.cli.secrets import write_secret
from precedent.production import DEVELOPMENT_TOKEN
from precedent.settings import project_root

DOC = project_root() / "docs" / "operations.md"
TOKEN = r"^prc_[\w-]+$"
SECRET = r"^whsec_\S+$"
OUTSIDE = {
    "action": "approve_discount",
    "facts": {"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.18, "customer_tier": "A"},
}

RUNS = {
    "precedent doctor": Run(r"^ok   packages .*^ok   secrets .*taken by another process.*^ok   migrations +at head", code=1),
    "precedent ledger rotate-signer --reason …": Run(r"^entry \d+ records that \S+ follows \S+\nit signs alone", fill={"…": "'each year'"}),
    "precedent ledger rotate-epoch": Run(r"^subjects' keys are under epoch-\d{4}-\d\d: 0 wrapped anew"),
    "precedent ledger keys": Run(r"^\S+  for checkpoints of 0 to \d+ entries\n\S+  for checkpoints of \d+ to now entries"),
    "precedent token create sales-desk --scope decisions:write --scope outcomes:write --node finance --expires-in-days 90": Run(TOKEN),
    "precedent token create bulk-load --scope import --scope events:write --rate 5000": Run(TOKEN),
    "precedent token rotate sales-desk --overlap-hours 24 --expires-in-days 90": Run(TOKEN),
    "precedent token revoke sales-desk": Run(r"^2 revoked; each process forgets within 5 s"),
    "precedent token list": Run(
        r"bulk-load +│ events:write import +│ \* +│ 5000 .*sales-desk +│ decisions:write outcomes:write +│ finance "
    ),
    'precedent halt --reason "margins look wrong since 14:00"': Run(r"every decision escalates as HALTED.*by the API at \S+, in "),
    'precedent resume --reason "the price list was wrong, and is right again"': Run(r"by the API at \S+, in "),
    'precedent halt --node finance --action approve_discount --reason "margins look wrong"': Run(r"^halted finance/approve_discount"),
    'precedent resume --node finance --reason "they were right"': Run(r"^resumed finance/approve_discount, up to AL3"),
    "precedent drill halt": Run(r"^  5  acknowledged .*^time to halt: median .* approved behind a halt: 0; node 'drill' is off again"),
    "precedent drill halt --url http://10.0.0.4:8000 --url http://10.0.0.5:8000 --rounds 10": Run(
        r"^  2  acknowledged .*approved behind a halt: 0;",
        fill={
            "http://10.0.0.4:8000": "$FIRST",
            "http://10.0.0.5:8000": "$SECOND",
            "rounds 10": "rounds 2",
        },  # ten rounds say no more here than two
    ),
    "precedent token create anna --scope reviews:write --scope read --node finance": Run(r"^(?P<ANNA>prc_[\w-]+)$"),
    "PRECEDENT_TOKEN=… precedent review list --kind escalation": Run(
        r"(?P<WAITING>[0-9a-f-]{36}) .*finance/approve_discount .* CFO ", fill={"…": "$ANNA"}
    ),
    'PRECEDENT_TOKEN=… precedent review approve 0199… --reason "strategic customer, margin is recovered"': Run(
        r"^finance/approve_discount, escalate: .*approved by anna, entry [0-9a-f-]{36}",
        fill={"TOKEN=…": "TOKEN=$ANNA", "0199…": "$WAITING"},
        answer="y",
    ),
    "precedent review list --status overdue": Run(r"decision .* digest"),
    "precedent outbox show": Run(r"^waiting: \d+, dead: 1, delivered: 0\n +\d+  .* attempts +0  next "),
    "precedent outbox dead": Run(r"dead: 1, .*^ +(?P<DEAD>\d+)  .*its endpoint was disabled: it moved"),
    "precedent outbox replay 17": Run(r"^due again: 1$", fill={"17": "$DEAD"}),
    "precedent outbox drain": Run(r"^Slack is off .*nothing was delivered; waiting: \d+"),
    "precedent webhook add crm https://crm.example.com/hooks --type decision.escalated --type review.answered": Run(
        SECRET, fill={"https://crm.example.com": "$RECEIVER"}
    ),
    "precedent webhook test crm": Run(r"/hooks answered 200 in "),
    "precedent webhook list": Run(r"crm +│ \S+/hooks +│ decision.escalated review.answered +│ active"),
    "precedent webhook rotate crm --overlap-hours 24": Run(SECRET),
    'precedent webhook disable crm --reason "it moves"': Run(r"^crm is disabled; messages given up: 0"),
    "precedent webhook enable crm": Run(r"^crm is enabled"),
    "precedent costs": Run(r"^$"),
    "precedent costs --days 30 --by node --json": Run(r'^\{.*"budgets"'),
    "precedent token rotate NAME --rate 5000": Run(TOKEN, fill={"NAME": "bulk-load"}),
    "precedent ledger verify": Run(r"^entries: +\d+ intact, 0 mutated, .*^intact "),
    "precedent review list --status reversed": Run(r"decision .* digest"),
    "precedent costs --by model --by purpose --by node --days 1": Run(r"^$"),
}

NAMED = "names the command for who looks it up; it needs more to run"
ELSEWHERE = {
    "python -m api": "the two processes beside this shell are that command",
    "precedent psql": "opens a shell; tests/test_readme.py runs it with -c",
    "precedent ledger erase": f"{NAMED}: tests/cli/test_erasure.py",
    "precedent signer": "serves until it is ended: tests/cli/test_signer_keys.py",
    "precedent outbox run": "serves until it is ended: tests/cli/test_outbox.py",
    "precedent up --reload": "is what production refuses: tests/test_production.py",
    "precedent ledger recover --new-key": "needs a key that was lost: tests/cli/test_signer_keys.py",
    "precedent flag": f"{NAMED}: tests/cli/test_policy_change.py",
    "precedent embed": f"{NAMED}: tests/memory",
    "precedent replay": f"{NAMED}: tests/cli/test_replay.py",
    "precedent status": "of what `precedent up` started: tests/cli/test_up.py",
    "FAULT_TABLE=docs/operations.md make test-faults": "breaks its own installation and writes the page: tests/e2e/test_fault_table.py",
    "make test": "would run this test",
    "make install PYTHON=…": "is about a folder that has no .venv; this test runs in one",
    "make test-long": "is hours of this machine",
    "make bench ARGS=--long": f"{NAMED}, where what it found is told: tests/bench",
    "promtool test rules precedent.rules_test.yaml": "needs promtool: tests/deploy/test_alerts.py",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def typing(database_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[Shell]:
    """The operator's shell: of two processes and an outbox that nobody delivers, with one decision that waits and one dead message."""
    home = tmp_path / ".precedent"
    installed = install(database_url, home, outbox="process", webhook_networks="127.0.0.0/8")
    home.mkdir()
    write_secret(home / DEVELOPMENT_TOKEN, installed.token)
    with serve(installed, tmp_path, 2) as (first, second), shell_in(tmp_path, environment_of(installed.settings, first.port)) as shell:
        shell.type(f"FIRST={first.url} SECOND={second.url} RECEIVER={receiver.url}")
        shell.type(f"precedent webhook add gone {NOWHERE} --type decision.escalated")
        escalate(first)
        shell.type("precedent webhook disable gone --reason 'it moved'")
        yield shell


def escalate(api: ApiProcess) -> None:
    with api.client() as client:
        answer = client.post("/decisions/finance", json=OUTSIDE)
    assert (answer.status_code, answer.json()["verdict"]) == (201, "escalate"), answer.text


def test_every_command_of_the_page_is_run_or_has_a_reason_why_not() -> None:
    commands = commands_of(DOC.read_text(encoding="utf-8"))
    assert unaccounted(commands, RUNS, ELSEWHERE) == []
    assert unaccounted([*commands, "precedent anew"], RUNS, ELSEWHERE) == ["precedent anew"]
    assert unaccounted([one for one in commands if one != "precedent costs"], RUNS, ELSEWHERE) == ["precedent costs"]


def test_an_operator_types_the_page_and_each_command_does_what_it_says(typing: Shell, receiver: Receiver) -> None:
    otherwise = typing.walk(commands_of(DOC.read_text(encoding="utf-8")), RUNS)
    assert not otherwise, "\n\n".join(otherwise)
    assert len(typing.walk(["false", "echo no"], {"false": Run(""), "echo no": Run("yes")})) == 2, "what is not so is told"
    assert [request.json["type"] for request in receiver.requests] == ["webhook.test"]


def test_commands_are_found_as_they_are_typed() -> None:
    block = "```\nprecedent b   # that\nprecedent d 'x\ny' \\\n  z\n```\n"
    page = f"`precedent a` and `precedent b c`\n{block}```yaml\nprecedent: e\n```\n`precedent b`\n"
    assert commands_of(page) == ["precedent a", "precedent b c", "precedent b", "precedent d 'x\ny' \\\n  z"]
