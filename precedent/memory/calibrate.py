"""How precedents of each action are to be searched, measured with the search that decisions use and on the cases that they had.

What is asked are past cases of the action, each at its own moment, so that the condition on time is the one of a decision; what they
are held to is the exact answer. An action whose index can't be made good enough is searched exactly: slower, and never wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import mean, stdev
from uuid import UUID

import psycopg

from precedent.db.engine import PIPELINE, connect
from precedent.memory.calibrate_store import Past, Scope, index_scope, read_past, read_scopes
from precedent.memory.embedding_store import read_serving
from precedent.memory.recall_store import EXACT_ROWS, MAX_K, Calibration, Neighbours, add_calibration, newest_calibration, search

WANTED_RECALL = Decimal("0.98")
# Of the cases that weren't asked it is to hold too: so many standard errors below what was found it is still reached (95 of 100 times).
_MARGIN_ERRORS = Decimal("1.645")
EF_SEARCH = (40, 64, 100, 160, 250, 400, 640, 1000)
# The exact answer of one case among 100,000 takes a tenth of a second.
RECALL_CASES = 100
_OF_LONG_AGO = 50
NOVELTY_CASES = 1000
# Of fewer the hundredth part is nobody.
MIN_CASES = 100
# Cases that share a statement, so that none of them is long.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Probed:
    """What decisions on one action find at present: `recall` of the exact ten, over `case_count` past cases that had any."""

    scope: str
    ef_search: int | None
    recall: Decimal
    case_count: int

    @property
    def is_enough(self) -> bool:
        return self.recall >= WANTED_RECALL


def calibrate(url: str, chain_id: UUID, now: Callable[[], datetime]) -> list[Calibration]:
    """One calibration by action that has vectors of the model that serves; a commit each, known from when it was measured.

    Where an action has outgrown the exact search, its index is made first; decisions go on, rows of memory wait for it meanwhile.
    If we crash between two, those before stand.

    Raises: DatabaseUnavailable.
    """
    made = []
    with connect(url, PIPELINE) as connection:
        model = read_serving(connection, chain_id)
        for scope in read_scopes(connection, chain_id, model.model_id) if model else ():
            one = _measured(connection, chain_id, scope, now)
            add_calibration(connection, chain_id, one)
            connection.commit()
            made.append(one)
    return made


def probe(url: str, chain_id: UUID, now: datetime) -> list[Probed]:
    """By action with vectors of the model that serves: what a decision of now would find of its precedents.

    Raises: DatabaseUnavailable.
    """
    found = []
    with connect(url, PIPELINE) as connection:
        model = read_serving(connection, chain_id)
        for scope in read_scopes(connection, chain_id, model.model_id) if model else ():
            held = newest_calibration(connection, chain_id, scope.model_id, scope.node, scope.action, now)
            past = read_past(connection, chain_id, scope, RECALL_CASES)
            ef_search = held.ef_search if held else None
            recall, count = _recall(connection, chain_id, scope, past, ef_search)
            found.append(Probed(scope.name, ef_search, recall, count))
    return found


def _measured(connection: psycopg.Connection, chain_id: UUID, scope: Scope, now: Callable[[], datetime]) -> Calibration:
    past = read_past(connection, chain_id, scope, NOVELTY_CASES)
    ef_search, recall = _least_ef_search(connection, chain_id, scope, past)
    nearest = [held.nearest[0].distance_ppm for held in _search(connection, chain_id, scope, past, 1, ef_search) if held.nearest]
    return Calibration(
        scope.model_id, scope.node, scope.action, now(), scope.rows_count, ef_search, _rounded(recall), _distance_of_most(nearest)
    )


def _least_ef_search(connection: psycopg.Connection, chain_id: UUID, scope: Scope, past: Sequence[Past]) -> tuple[int | None, Decimal]:
    """The smallest that finds enough, and what it finds; None for the exact search."""
    if scope.cases_count > EXACT_ROWS:
        index_scope(connection, chain_id, scope)
        # Of long ago too, and those that the probe will ask: the worse of the two counts.
        samples = [past[:: math.ceil(len(past) / _OF_LONG_AGO)], read_past(connection, chain_id, scope, RECALL_CASES)]
        exact = [_search(connection, chain_id, scope, asked, MAX_K, None) for asked in samples]
        for ef_search in EF_SEARCH:
            found = [_search(connection, chain_id, scope, asked, MAX_K, ef_search) for asked in samples]
            shares = [_shares(*pair) for pair in zip(exact, found, strict=True)]
            recall = min(_mean(of_sample) for of_sample in shares)
            if recall >= WANTED_RECALL and _at_least([share for of_sample in shares for share in of_sample]) >= WANTED_RECALL:
                return ef_search, recall
    return None, Decimal(1)


def _recall(
    connection: psycopg.Connection, chain_id: UUID, scope: Scope, past: Sequence[Past], ef_search: int | None
) -> tuple[Decimal, int]:
    exact = _search(connection, chain_id, scope, past, MAX_K, None)
    shares = _shares(exact, exact if ef_search is None else _search(connection, chain_id, scope, past, MAX_K, ef_search))
    return _mean(shares), len(shares)


def _shares(exact: Sequence[Neighbours], found: Sequence[Neighbours]) -> list[Decimal]:
    """Of each case that had any, the share of its neighbours that was found; one as far as the last of them is as good as it."""
    return [
        Decimal(sum(held.distance_ppm <= one.nearest[-1].distance_ppm for held in other.nearest)) / len(one.nearest)
        for one, other in zip(exact, found, strict=True)
        if one.nearest
    ]


def _mean(shares: Sequence[Decimal]) -> Decimal:
    return mean(shares) if shares else Decimal(1)


def _at_least(shares: Sequence[Decimal]) -> Decimal:
    """What the mean over all cases is, but for one chance in twenty, where these were drawn from them."""
    error = stdev(shares) / Decimal(len(shares)).sqrt() if len(shares) > 1 else Decimal(0)
    return _mean(shares) - _MARGIN_ERRORS * error


def _search(
    connection: psycopg.Connection, chain_id: UUID, scope: Scope, past: Sequence[Past], k: int, ef_search: int | None
) -> list[Neighbours]:
    found: list[Neighbours] = []
    for start in range(0, len(past), _AT_ONCE):
        asked = [(one.vector, one.decided_us) for one in past[start : start + _AT_ONCE]]
        found += search(connection, chain_id, scope.model_id, scope.name, asked, k, ef_search)
    return found


def _distance_of_most(nearest_ppm: Sequence[int]) -> Decimal | None:
    """Within which 99 % of the cases had their nearest; None where too few tell."""
    if len(nearest_ppm) < MIN_CASES:
        return None
    return Decimal(sorted(nearest_ppm)[math.ceil(len(nearest_ppm) * 99 / 100) - 1]) / 1_000_000


def _rounded(recall: Decimal) -> Decimal:
    """Down: what is written was reached."""
    return Decimal(int(recall * 10_000)) / 10_000
