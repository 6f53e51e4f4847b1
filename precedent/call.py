"""The request that is decided or recorded, as far as the record tells of it."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import NamedTuple

from precedent.ledger.idempotency import Claim
from precedent.ledger.subjects import Subject


class Call(NamedTuple):
    """About the request itself: who asks, under which correlation id, since when (monotonic), in which words, with which key."""

    principal: str
    correlation_id: str
    received_ns: int
    received: bytes
    claim: Claim | None = None

    def received_hash(self, subject: Subject | None) -> str:
        """Of the text received, hex: SHA-256, or an HMAC under the subject's key, which dies with it, where it is personal."""
        return (hmac.digest(subject.data_key, self.received, "sha256") if subject else sha256(self.received).digest()).hex()
