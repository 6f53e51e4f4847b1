"""Each call of a model server reserves the most it can use, under the lock that all callers take, and tells afterwards what it used.

Invariant: what is counted for a day is never less than what was used, as far as servers tell it. A reservation is committed before
the call is made. If we crash between the two, or the database is away when the call has ended, the reservation is what counts.
So no number of callers passes a budget, but where a server counts more tokens than a call has bytes, or than it was allowed to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import psycopg
import structlog

from precedent.adapters.costs import MICROS, TOKENS, CostBook, Purpose, Usage
from precedent.adapters.spend import used_of
from precedent.adapters.spend_store import begin_call, end_call, read_spent, take_turn
from precedent.clock import Clock
from precedent.db.engine import PIPELINE, transaction
from precedent.errors import BudgetSpent, DatabaseUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One to make: `most` is what it can use at most, `node` None where it is for no single one."""

    model: str
    purpose: Purpose
    node: str | None
    most: Usage


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call went: `usage` None where nobody told it, `why` the kind of failure, `was_used` false where nothing was done for it."""

    usage: Usage | None
    why: str | None = None
    was_used: bool = True


@dataclass(frozen=True, slots=True)
class Reservation:
    """A call that may be made."""

    call_id: UUID
    call: Call
    began_ns: int


@dataclass(frozen=True, slots=True)
class _Limit:
    """Of one budget: what may be used, what is, and what this call asks for; None where that has no price."""

    budget: str
    unit: str
    limit: int
    used: int
    asked: int | None
    warns_from: float

    @property
    def has_room(self) -> bool:
        return self.asked is not None and self.used + self.asked <= self.limit


class Meter:
    """Of one chain. Its transactions are its own: what a call used stands, whatever becomes of the work that needed it."""

    def __init__(self, url: str, chain_id: UUID, book: CostBook, clock: Clock) -> None:
        self._url = url
        self._chain_id = chain_id
        self._book = book
        self._clock = clock
        self._warned: set[tuple[str, str]] = set()

    def reserve(self, call: Call, attempt: int) -> Reservation:
        """Room for the call, committed: it may be made now, and is then to be settled.

        Raises: BudgetSpent, noted; DatabaseUnavailable. Then nothing may be sent.
        """
        call_id = self._clock.new_id()
        with self._transaction() as connection:
            limits = self._limits(connection, call)
            full = next((limit for limit in limits if not limit.has_room), None)
            begin_call(
                connection,
                {
                    **{"chain": self._chain_id, "id": call_id, "model": call.model, "purpose": call.purpose, "node": call.node},
                    **{"attempt": attempt, "is_final": full is not None, "outcome": "refused" if full else "open"},
                    **{"why": full.budget if full else None, "counted": "none" if full else "bound"},
                    **self._counts(call.model, Usage(0) if full else call.most),
                },
            )
        if full:
            raise _spent(call, full)
        self._warn(limits)
        return Reservation(call_id, call, self._clock.monotonic_ns())

    def settle(self, held: Reservation, ended: Ended) -> None:
        """Put what was used in place of what was reserved. Where the database is away the reservation stands, for the answer is there."""
        call, usage = held.call, (ended.usage or held.call.most) if ended.was_used else Usage(0)
        counted = "none" if not ended.was_used else "bound" if ended.usage is None else "told"
        row = {
            **{"chain": self._chain_id, "id": held.call_id, "outcome": "failed" if ended.why else "done", "why": ended.why},
            **{"counted": counted, "duration_ms": (self._clock.monotonic_ns() - held.began_ns) // 1_000_000},
            **self._counts(call.model, usage),
        }
        try:
            with self._transaction() as connection:
                end_call(connection, row)
        except DatabaseUnavailable as error:
            log.warning("model_call_not_settled", call_id=str(held.call_id), error=str(error))

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        with transaction(self._url, PIPELINE) as connection:
            # Under a stricter isolation sums would be read from a snapshot taken before the lock, and commits fail for each other.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            yield connection

    def _limits(self, connection: psycopg.Connection, call: Call) -> list[_Limit]:
        """Of the budgets that cover the call; behind the lock where there is any."""
        budgets = {name: held for name, held in self._book.budgets.items() if held.covers(call.purpose, call.node)}
        if not budgets:
            return []
        take_turn(connection, self._chain_id)
        spent = read_spent(connection, self._chain_id)
        asked = {TOKENS: call.most.tokens_in + call.most.tokens_out, self._book.currency: self._book.cost_micros(call.model, call.most)}
        return [
            _Limit(name, unit, limit, used, asked[unit], float(budgets[name].warn_at) * limit)
            for name in budgets
            for unit, limit, used in used_of(self._book, name, spent)
        ]

    def _counts(self, model: str, usage: Usage) -> dict[str, object]:
        """Columns of a row; without a price, there is no currency either."""
        cost = self._book.cost_micros(model, usage)
        tokens = {"tokens_in": usage.tokens_in, "tokens_cached": usage.tokens_cached, "tokens_out": usage.tokens_out}
        return {**tokens, "cost_micros": cost, "currency": None if cost is None else self._book.currency}

    def _warn(self, limits: Sequence[_Limit]) -> None:
        """Once for each limit, in this process."""
        for limit in limits:
            key = (limit.budget, limit.unit)
            if limit.used >= limit.warns_from and key not in self._warned:
                self._warned.add(key)
                log.warning("model_budget_nearly_used", budget=limit.budget, unit=limit.unit, used=limit.used, limit=limit.limit)


def _spent(call: Call, full: _Limit) -> BudgetSpent:
    log.warning("model_budget_spent", budget=full.budget, unit=full.unit, used=full.used, limit=full.limit, model=call.model)
    if full.asked is None:
        return BudgetSpent(f"couldn't call {call.model}: the budget '{full.budget}' is of money, and the model has no price")
    scale = 1 if full.unit == TOKENS else MICROS
    limit, used, asked = (Decimal(value) / scale for value in (full.limit, full.used, full.asked))
    return BudgetSpent(
        f"couldn't call {call.model}: of today's budget '{full.budget}', {limit} {full.unit}, {used} are used, and this could use {asked}"
    )
