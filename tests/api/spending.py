"""Calls of models as the pipeline notes them, and an operator's file of costs."""

from __future__ import annotations

import contextlib

import yaml

from precedent.adapters.costs import CostBook, Purpose, Usage
from precedent.adapters.meter import Call, Ended, Meter
from precedent.clock import SystemClock
from precedent.db.engine import PIPELINE, connect
from precedent.errors import BudgetSpent
from precedent.ledger.store import chain_id_of

COSTS = """
currency: EUR
prices:
  wordy: {input: 2, output: 8}
budgets:
  all: {tokens: 100000, warn_at: 0.5}
  words of finance: {purpose: words, node: finance, money: 0.01}
"""


def plant_calls(database_url: str) -> None:
    """One that is done, one that failed, one refused, one that is open still, all of today."""
    book = CostBook.model_validate(yaml.safe_load(COSTS))
    with connect(database_url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, "main")
        connection.execute("set role none; delete from precedent.model_calls")
        connection.commit()
    meter = Meter(database_url, chain_id, book, SystemClock())
    words = Call("wordy", Purpose.WORDS, "finance", Usage(1500, 200))
    meter.settle(meter.reserve(words, 1), Ended(None, "status 503", was_used=False))
    meter.settle(meter.reserve(words, 2), Ended(Usage(1000, 100, 400)))
    meter.reserve(Call("unpriced", Purpose.EMBEDDING, "hr", Usage(50_000)), 1)
    meter.settle(meter.reserve(Call("wordy", Purpose.WORDS, "hr", Usage(100, 10)), 1), Ended(None))
    with contextlib.suppress(BudgetSpent):
        meter.reserve(Call("wordy", Purpose.WORDS, "finance", Usage(6000, 200)), 1)
