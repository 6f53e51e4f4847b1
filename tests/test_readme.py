"""The README, done as it is written: its walk, what it says of tampering and of policies, and how the record is proved elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_entries as sample
from conftest import REPOSITORY
from exporting import Covered
from integrated import SEED
from running_api import environment_of, install, serve
from typed_commands import Run, Shell, commands_of, shell_in, unaccounted

from precedent.cli.secrets import write_secret
from precedent.production import DEVELOPMENT_TOKEN

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ADDRESS = {"http://127.0.0.1:8000": "$URL"}
# Of the sample data that `make up` loads: a discount that no band permits, and one below cost.
DEALS = {"escalate": (0.31, 0.18), "deny": (0.25, 0.2501)}


def commands_after(heading: str) -> str:
    """The first block of shell commands after these words."""
    return README.split(heading, 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]


def starting(beginning: str) -> str:
    """The README's one command that begins so: for those of many lines."""
    (found,) = {one for one in commands_of(README) if one.startswith(beginning)}
    return found


PROOF = dict.fromkeys(commands_of(f"```sh\n{commands_after('**Prove it.**')}```"), "the next test runs this block")

RUNS = {
    "TOKEN=$(cat .precedent/dev-token)": Run(r"^$"),
    starting("curl -s http://127.0.0.1:8000/decisions/finance"): Run(
        r'"id":"(?P<ID>[0-9a-f-]{36})".*"verdict":"approve".*"autonomy_level":2,.*"counterfactual":\{.*"receipt":', fill=ADDRESS
    ),
    starting("curl -s http://127.0.0.1:8000/outcomes/$ID"): Run(r'"id":"[0-9a-f-]{36}"', fill=ADDRESS),
    "precedent explain $ID": Run(r"^Approved.*Rules, in the order in which they were asked.*What came of it"),
    starting('curl -s "http://127.0.0.1:8000/decisions/$ID/proof'): Run(r'"checkpoint"', fill=ADDRESS),
    "precedent token create anna --scope reviews:write --scope read": Run(r"^(?P<ANNA>prc_[\w-]+)$"),
    "PRECEDENT_TOKEN=… precedent review list": Run(
        r"(?P<WAITING>[0-9a-f-]{36}) +│ escalation +│ finance/approve_discount", fill={"…": "$ANNA"}
    ),
    'PRECEDENT_TOKEN=… precedent review approve $ID --reason "a customer of twenty years"': Run(
        r"approved by anna, entry ", fill={"…": "$ANNA", "$ID": "$WAITING"}, answer="y"
    ),
    'precedent halt --reason "…"': Run(r"every decision escalates as HALTED"),
    'precedent resume --reason "…"': Run(r"by the API at \S+, in "),
    "precedent drill halt": Run(r"^  5  acknowledged .*approved behind a halt: 0;"),
    starting('precedent psql --owner -c "delete'): Run(r"^ERROR: ", code=1),
    starting('precedent psql --owner -c "update'): Run(r"^UPDATE [1-9]\d*$"),
    "precedent ledger verify": Run(r", [1-9]\d* wrong, 0 missing, .* is 'approve', the entry says 'deny'.*^NOT INTACT", code=1),
    "precedent ledger rebuild && precedent ledger verify": Run(r"^projections of chain main rebuilt .*, 0 wrong, .*^intact "),
    "precedent policy lint policies": Run(r"^0 errors"),
    "precedent policy test policies": Run(r"passed"),
    "precedent policy publish FILE --activate": Run(
        r"finance-constitution@1\.2\.0", fill={"FILE": "finance-constitution-1.2.0.yaml"}, answer="y"
    ),
    starting("precedent flag set finance"): Run(r"^finance/approve_discount is enabled up to AL2$"),
}

START = "tests/cli/test_up.py starts everything"
PIPELINE = "needs the pipeline behind it"
ELSEWHERE = PROOF | {
    "make up": START,
    starting("PRECEDENT_HOME=.second"): f"{START}, also a second copy beside the first",
    "precedent status": f"of what `make up` started: {START}",
    "precedent doctor": f"of what `make up` started: {START}",
    'export PATH="$PWD/.venv/bin:$PATH"': "the shell here has `precedent` on its path already",
    "make smoke URL=http://127.0.0.1:8000 TOKEN=$TOKEN": "tests/cli/test_up.py runs deploy/smoke.sh",
    starting("precedent import cases.csv"): "needs the log, which is no part of the project: tests/cli/importing",
    starting("precedent backfill"): f"{PIPELINE}: tests/e2e/test_pipeline.py",
    starting("precedent psql -c"): f"{PIPELINE}: tests/dbt",
    starting("precedent lineage"): f"{PIPELINE}: tests/cli/test_lineage.py",
    "make notebooks": "serves until it is ended: tests/notebooks",
    "make dev": "serves until it is ended",
    "make help": "is of the checkout",
    **dict.fromkeys(("make test", "make check"), "would run this test"),
    **dict.fromkeys(("make test-long", "make bench"), "takes the machine for an hour"),
}


@pytest.fixture
def typing(database_url: str, tmp_path: Path) -> Iterator[Shell]:
    """The reader's shell, in a folder that looks as theirs does, beside an API that runs and was asked before."""
    home = tmp_path / ".precedent"
    home.mkdir()
    installed = install(database_url, home)
    write_secret(home / DEVELOPMENT_TOKEN, installed.token)
    shutil.copytree(REPOSITORY / "policies", tmp_path / "policies")
    for end in (".yaml", "_test.yaml"):
        current = REPOSITORY / "policies" / "finance" / f"finance-constitution-1.1.0{end}"
        (tmp_path / f"finance-constitution-1.2.0{end}").write_text(current.read_text().replace("1.1.0", "1.2.0"))
    with serve(installed, tmp_path) as (api,), shell_in(tmp_path, environment_of(installed.settings, api.port)) as shell:
        with api.client() as client:
            for verdict, (margin, discount) in DEALS.items():
                facts = {"deal_value": 12000, "base_margin_pct": margin, "requested_discount_pct": discount, "customer_tier": "A"}
                answer = client.post("/decisions/finance", json={"action": "approve_discount", "facts": facts})
                assert answer.json()["verdict"] == verdict, answer.text
        shell.type(f"URL={api.url}")
        yield shell


def test_every_command_is_run_or_has_a_reason_why_not() -> None:
    assert unaccounted(commands_of(README), RUNS, ELSEWHERE) == []


def test_a_reader_types_it_and_each_command_does_what_it_says(typing: Shell) -> None:
    otherwise = typing.walk(commands_of(README), RUNS)
    assert not otherwise, "\n\n".join(otherwise)


def test_an_export_proves_itself_elsewhere_and_names_a_flipped_byte(database_url: str, tmp_path: Path) -> None:
    ledger = Covered(database_url, tmp_path / "witnesses")
    sample.fill(database_url)
    ledger.append(300)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "PRECEDENT_HOME": str(tmp_path / "home"),
        "PRECEDENT_DATABASE_URL": database_url,
        "PRECEDENT_SIGNER_KEY": SEED.hex(),
    }
    argv = ["bash", "-uc", commands_after("**Prove it.**")]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "entries 0 to 333 of 334 exported to audit" in done.stdout
    first, second = done.stdout.split("334 of 334 entries read")[1:]
    assert "entries: 334 intact, " in first
    assert "\nintact\n" in first
    assert str(ledger.signer.verifier) in first
    assert "333 intact, 0 erased, 0 withheld, 1 mutated" in second
    assert "  entry 3 mutated: envelope: " in second
    assert second.endswith("NOT INTACT\n")
