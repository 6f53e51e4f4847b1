"""A policy of many rules, for measuring: thresholds over money, ratios, enums and the time of day, in several columns."""

from __future__ import annotations

FACTS = """
      amount: {type: money, currency: EUR, min: 0, max: 1000000}
      margin: {type: ratio, min: 0, max: 1}
      discount: {type: ratio, min: 0, max: 1}
      age_days: {type: int, min: 0, max: 36500}
      tier: {type: enum, values: [A, B, C, D]}
      country: {type: string}
      is_new: {type: bool}"""


def large_policy(rules: int) -> str:
    """A text with that many rules, a third of them guards, all of which can decide, and two invariants that hold."""
    guards, bands = rules // 3, rules - rules // 3
    lines = [
        "policy: large",
        "version: 1.0.0",
        "node: bench",
        "owner: nobody",
        "actions:",
        "  decide:",
        f"    facts:{FACTS}",
        "    guards:",
    ]
    for index in range(guards):
        when = (
            f"facts.amount > {90_000_000 - index * 1_000_000} && facts.tier == '{'ABCD'[index % 4]}' "
            f"&& (local_minute < {index * 10 + 10} || facts.country in ['A{index}', 'B{index}'])"
        )
        verdict = "deny" if index % 2 else "escalate"
        lines.append(f'      - {{name: guard_{index}, verdict: {verdict}, reason: GUARD_{index}, when: "{when}"}}')
    lines.append("    bands:")
    for index in range(bands):
        level = 1 + index * 3 // bands
        when = (
            f"facts.amount * 2 <= {(index + 1) * 2_000_000} && facts.discount <= {index * 100 + 100}"
            f" && facts.margin >= {4000 - index * 50}"
            f" && (facts.age_days > {index * 10} || facts.is_new)"
        )
        lines.append(f'      - {{name: band_{index}, level: AL{level}, reason: BAND_{index}, when: "{when}"}}')
    lines += [
        "    otherwise: {verdict: escalate, reason: NONE}",
        "invariants:",
        "  - {name: a smaller discount never needs more authority, monotone: {fact: discount, direction: down, keeps: level}}",
        "  - {name: nothing acts beyond the widest band, never: \"effective && verdict == 'approve' && facts.amount > 90000000\"}",
    ]
    return "\n".join(lines) + "\n"
