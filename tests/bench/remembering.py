"""What memory adds to a decision: features, snapshot and precedents, beside the same decision with features alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median

from precedent.db.engine import connect
from precedent.ledger.store import chain_id_of
from precedent.memory.calibrate import calibrate
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_last
from tests.bench.clients import Target, run_load, run_own
from tests.bench.endpoint import FACTS, PATH, named_target
from tests.bench.report import Goal, Part
from tests.bench.stack import Api

CASES = 3_000
BATCH = 500
NOTE = (
    "*Memory*: decisions about customers over one connection, in turn with and without `?debug=precedents`, which looks up the ten "
    f"nearest of {CASES:,} past decisions with an outcome, the nearest with another verdict, and the newest snapshot, and seals them."
)


def measure_memory(api: Api, rounds: int, seconds: int) -> Part:
    """On an API whose features are planted. Raises: LoadFailed."""
    _plant_cases(api)
    plain = named_target(api)
    informed = replace(plain, url=f"{plain.url}?debug=precedents")
    run_load(informed, 1, 1)
    added, asked = [], []
    for _ in range(rounds):
        without = run_load(plain, 1, seconds).p50_ms
        asked.append(run_load(informed, 1, seconds).p50_ms)
        added.append(asked[-1] - without)
    return Part(
        goals=(Goal("memory adds to a decision, p50", median(added), 4, " ms", at_least=False),),
        rows=(["a decision with features, snapshot and precedents, p50", f"{median(asked):.2f} ms"],),
        note=NOTE,
    )


def _plant_cases(api: Api) -> None:
    """Decisions of many sizes, each with its outcome, placed by the encoder and calibrated, as each morning does it."""
    headers = dict(named_target(api).headers)
    deals = [FACTS | {"deal_value": 100 + 37 * number} for number in range(CASES)]
    bodies = [json.dumps({"decisions": [{"facts": deal} for deal in deals[at : at + BATCH]]}).encode() for at in range(0, CASES, BATCH)]
    asyncio.run(run_own(Target(f"{api.served.url}{PATH}/batch", headers, bodies), 1, 60, len(bodies)))
    with connect(api.database_url) as connection:
        chain_id = chain_id_of(connection, "main")
        rows = connection.execute("select id from precedent.decisions order by seq desc limit %s", (CASES,)).fetchall()
        size = connection.execute("select size from precedent.ledger_heads").fetchone()
    told = [{"decision_id": str(row[0]), "metrics": {"won": place % 2 == 0, "margin": 0.3}} for place, row in enumerate(rows)]
    outcomes = [json.dumps({"outcomes": told[at : at + BATCH]}).encode() for at in range(0, CASES, BATCH)]
    asyncio.run(run_own(Target(f"{api.served.url}/outcomes", headers, outcomes), 1, 60, len(outcomes)))
    embed_last(api.database_url, chain_id, TypedEmbedder(), (size[0] if size else 0) + CASES, CASES)
    calibrate(api.database_url, chain_id, lambda: datetime.now(UTC))
