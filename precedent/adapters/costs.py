"""What an operator says of models: prices, and what may be spent on a UTC day. Read from YAML; there are no prices but theirs.

currency: EUR
prices:                                # by million tokens
  some-model: {input: 0.10, cached: 0.05, output: 0.40}
budgets:                               # by names of your own; each limit holds for the calls that its budget names
  all: {money: 5.00, warn_at: 0.8}
  words of finance: {purpose: words, node: finance, tokens: 200000}
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from precedent.errors import SettingsInvalid

MICROS = 1_000_000
TOKENS = "tokens"

Amount = Annotated[Decimal, Field(ge=0, lt=1_000_000_000, allow_inf_nan=False)]


class Purpose(StrEnum):
    """What a call is for."""

    EMBEDDING = "embedding"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `tokens_cached` are part of `tokens_in`."""

    tokens_in: int
    tokens_out: int = 0
    tokens_cached: int = 0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Strict):
    """Of a million tokens, in the currency. Without `cached`, cached ones cost as others; without `output`, what is written has none."""

    input: Amount
    cached: Amount | None = None
    output: Amount | None = None


class Budget(_Strict):
    """What calls of this purpose and node may use on a UTC day; of all, where neither is named."""

    purpose: Purpose | None = None
    node: str | None = None
    money: Annotated[Decimal, Field(ge=Decimal("0.000001"), lt=1_000_000_000, allow_inf_nan=False)] | None = None
    tokens: Annotated[int, Field(gt=0, lt=2**53)] | None = None
    warn_at: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.8")

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.money is None and self.tokens is None:
            raise ValueError("a budget limits money, tokens or both")
        return self

    def covers(self, purpose: str, node: str | None) -> bool:
        return self.purpose in {None, purpose} and self.node in {None, node}


class CostBook(_Strict):
    """Prices by model, budgets by name. Empty: nothing has a price, and nothing is refused."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    prices: dict[str, Price] = {}
    budgets: dict[str, Budget] = {}

    @model_validator(mode="after")
    def _money_has_a_currency(self) -> CostBook:
        if self.currency is None and (self.prices or any(budget.money is not None for budget in self.budgets.values())):
            raise ValueError("prices and budgets of money need a currency")
        return self

    def cost_micros(self, model: str, usage: Usage) -> int | None:
        """Millionths of the currency, rounded up; None where the model has no price for what was used."""
        price = self.prices.get(model)
        if price is None or (usage.tokens_out and price.output is None):
            return None
        cached = price.input if price.cached is None else price.cached
        # A price by million tokens is one in millionths by token.
        cost = (usage.tokens_in - usage.tokens_cached) * price.input + usage.tokens_cached * cached + usage.tokens_out * (price.output or 0)
        return int(cost.to_integral_value(ROUND_CEILING))


def read_book(path: Path | None) -> CostBook:
    """What the file says; without one, the empty book.

    Raises: SettingsInvalid, with each fault by its place.
    """
    if path is None:
        return CostBook()
    try:
        return CostBook.model_validate(yaml.safe_load(path.expanduser().read_text(encoding="utf-8")) or {})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors())
        raise SettingsInvalid(f"couldn't read {path}: {faults}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsInvalid(f"couldn't read {path}: {error}") from error
