"""Money of flips in words and JSON, never added over currencies or over facts that mean different things. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from precedent.policy.quantity import money_decimals, write_decimal, write_quantity


def money_rows(money: Mapping[tuple[str, str], int]) -> list[dict[str, str]]:
    """For JSON: an amount is a decimal string, so that no reader rounds it."""
    return [
        {"fact": fact, "currency": currency, "amount": write_decimal(value, money_decimals(currency))}
        for (fact, currency), value in sorted(money.items())
    ]


def money_words(money: Mapping[tuple[str, str], int]) -> str:
    """`1,204.50 USD`; each with its fact where there are several."""
    rows = sorted(money.items())
    words = [(fact, write_quantity(value, "money", currency)) for (fact, currency), value in rows]
    return words[0][1] if len(words) == 1 else ", ".join(f"{fact} {amount}" for fact, amount in words)
