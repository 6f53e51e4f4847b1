"""A decision with its precedents, made from real loan applications: imported, distilled and placed, then asked, sealed and explained."""

from __future__ import annotations

import math
import subprocess
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
from running_api import ApiProcess
from test_import import MAPPING, command, environment, run

from precedent.db.engine import connect
from precedent.db.store import read_ledger_size
from precedent.ledger.store import chain_id_of
from precedent.memory.calibrate import calibrate
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_days
from precedent.memory.snapshot import distill_days

CASES = 400
FIRST, AFTER_LAST = date(2011, 9, 30), date(2012, 3, 15)
EUROS = 17_062
# Amid the outcomes of these cases: some are known, others not yet.
MIDWAY = "2011-10-10T12:00:00Z"


def test_a_decision_on_a_real_log_is_explained_by_its_sealed_precedents(api_server: ApiProcess, shared: Path, tmp_path: Path) -> None:
    home = tmp_path / "client"
    log = shared / "data/bpic2012/cases.csv"
    imported = run(api_server, home, "import", log, "--mapping", MAPPING, "--limit", str(CASES), "--strict")
    assert imported.returncode == 0, imported.stderr
    remember(api_server.database_url)

    answer = ask(api_server)
    assert not answer["novel"]
    assert answer["snapshot"]["scope"] == "credit-daily"
    require_nearest(api_server.database_url, answer, "now()")
    text = explained(api_server, home, answer)
    assert "Similar past cases\n  10 similar past cases: " in text
    assert f"Snapshot that was known\n  credit-daily of {answer['snapshot']['day']}" in text

    earlier = ask(api_server, as_of=MIDWAY)
    assert earlier["novel"], "how far usual cases lie was measured later"
    assert "2011-10-01" <= earlier["snapshot"]["day"] < MIDWAY[:10] < answer["snapshot"]["day"]
    require_nearest(api_server.database_url, earlier, f"'{MIDWAY}'")
    assert "10 similar past cases: " in explained(api_server, home, earlier)


def remember(url: str) -> None:
    """Snapshots, vectors and calibration of the imported days, as the job `distill` makes them."""
    with connect(url) as connection:
        chain_id, size = chain_id_of(connection, "main"), read_ledger_size(connection, "main")
    assert distill_days(url, chain_id, size, FIRST, AFTER_LAST, datetime.now(UTC)).added_count
    start, end = (datetime.combine(day, time(), UTC) for day in (FIRST, AFTER_LAST))
    embed_days(url, chain_id, TypedEmbedder(), size, start, end)
    assert calibrate(url, chain_id, lambda: datetime.now(UTC) - timedelta(seconds=1))


def ask(api: ApiProcess, **members: str) -> dict[str, Any]:
    """The answer, which tells what is sealed: the decision, read again, holds the same cases at the same distances."""
    body = {"facts": {"amount_requested": EUROS, "application_id": "one-of-today"}, **members}
    headers = {"authorization": f"Bearer {api.token}"}
    with httpx2.Client(base_url=api.url, headers=headers, trust_env=False) as client:
        told = client.post("/decisions/credit?debug=precedents", json=body)
        assert told.status_code == 201, told.text
        answer: dict[str, Any] = told.json()
        sealed = client.get(f"/decisions/{answer['id']}").json()["memory"]
    assert [one["id"] for one in sealed["precedents"]["nearest"]] == [one["id"] for one in answer["precedents"]]
    assert sealed["snapshot"]["id"] == answer["snapshot"]["id"]
    return answer


def require_nearest(url: str, answer: dict[str, Any], at: str) -> None:
    """The amount is all that a rule may read, so the ten nearest are those of the ten nearest amounts among what was known then.

    Within 2 % of each other's distance, in doublings, two may change places: vectors are of 4 bytes a number.
    """
    query = f"""
        select d.id, (d.inputs ->> 'amount_requested')::bigint from precedent.decisions d
        join precedent.outcomes o on o.chain_id = d.chain_id and o.decision_id = d.id and o.revision = 1 and o.known_at <= {at}
        """
    with psycopg.connect(url) as connection:
        rows: list[tuple[UUID, int]] = connection.execute(query.encode()).fetchall()
    distances = {str(decision_id): abs(math.log(amount / (100 * EUROS))) for decision_id, amount in rows}
    found = [distances[one["id"]] for one in answer["precedents"]]
    assert len(found) == 10
    assert max(found) <= sorted(distances.values())[9] * 1.02
    assert [one["distance"] for one in answer["precedents"]] == sorted(one["distance"] for one in answer["precedents"])


def explained(api: ApiProcess, home: Path, answer: dict[str, Any]) -> str:
    """What `precedent explain` prints; each sealed case is in it, in order, with what was decided then."""
    variables = environment(api, home) | {"PRECEDENT_DATABASE_URL": api.database_url, "COLUMNS": "200"}
    done = subprocess.run(command("explain", answer["id"]), env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    cases = [line for line in lines if any(line.startswith(one["id"]) for one in answer["precedents"])]
    assert [line.split()[0] for line in cases] == [one["id"] for one in answer["precedents"]]
    for one, line in zip(answer["precedents"], cases, strict=True):
        assert ("followed:" if one["verdict"] == answer["verdict"] else "departed from:") in line
    return done.stdout
