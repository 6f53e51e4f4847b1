"""What a load consists of: one operation is one entry to be, with its business time and the JSON it will be sent as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import orjson


class Kind(IntEnum):
    """In the order in which operations of one instant are sent: each may need the id that the one before it got.

    The last two are for a world that answers to the decision: of the pair, the one that fits the verdict is sent.
    """

    EVENT = 0
    DECISION = 1
    OUTCOME = 2
    OUTCOME_IF_APPROVED = 3
    OUTCOME_IF_NOT = 4


OUTCOMES = (Kind.OUTCOME, Kind.OUTCOME_IF_APPROVED, Kind.OUTCOME_IF_NOT)


@dataclass(frozen=True, slots=True)
class Operation:
    """`row` names the case it belongs to: the line of a file, 1-based. `body` is a JSON object; ids are added when sent."""

    kind: Kind
    row: int
    at_us: int
    body: bytes

    def body_with(self, name: str, value: str | None) -> bytes:
        """The body with one more member; as it is for None. Spliced, since parsing it again would cost more than all the rest."""
        return self.body if value is None else self.body[:-1] + b',"' + name.encode() + b'":' + orjson.dumps(value) + b"}"


def operation(kind: Kind, row: int, at_us: int, content: Mapping[str, object]) -> Operation:
    """The operation with `content` as its body; equal content gives equal bytes, on which the server's idempotency rests."""
    return Operation(kind, row, at_us, orjson.dumps(content))
