"""Bearer tokens: 256 random bits, stored as a hash, with scopes, nodes and an expiry.

A token that is revoked stops working within `CACHE_SECONDS` on every process.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import inf

import psycopg

from precedent.clock import SystemClock
from precedent.db.engine import connect
from precedent.db.reads import Reads
from precedent.errors import Conflict, FieldInvalid, ScopeMissing, TokenUnknown
from precedent.guard import store

SCOPES = frozenset(
    {
        "events:write", "decisions:write", "decisions:pin", "outcomes:write", "reviews:write", "policies:write",
        "policies:activate", "flags:write", "read", "personal:read", "import",
    }
)  # fmt: skip
PREFIX = "prc_"
EVERY_NODE = "*"
# The principal of what a deadline did, in the ledger: no token may speak under it.
SYSTEM = "system"
CACHE_SECONDS = 5.0
CACHE_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever calls, and what that token allows; `nodes` may hold EVERY_NODE. Without a rate of its own the setting's holds."""

    name: str
    scopes: frozenset[str]
    nodes: frozenset[str]
    rate_per_second: float | None = None

    def require(self, scope: str, node: str | None = None) -> None:
        """Raises: ScopeMissing."""
        if scope not in self.scopes:
            raise ScopeMissing(f"this token lacks the scope {scope}")
        if node is not None and not self.is_for(node):
            named = ", ".join(sorted(self.nodes))
            why = f"the node {node}" if node != EVERY_NODE else f"every node, as what has no node of its own needs: it is for {named}"
            raise ScopeMissing(f"this token is not for {why}")

    def is_for(self, node: str) -> bool:
        return EVERY_NODE in self.nodes or node in self.nodes


def create_token(
    url: str,
    name: str,
    scopes: Sequence[str],
    nodes: Sequence[str] = (EVERY_NODE,),
    expires_in_days: float | None = None,
    rate_per_second: float | None = None,
) -> str:
    """A new token, to be shown once: only its hash is kept. Its name is the principal of what is done with it.

    Raises: FieldInvalid for an unknown scope, the name of our own processes, or a rate that is none; Conflict where a token of that
    name is in use; DatabaseUnavailable.
    """
    unknown = sorted(set(scopes) - SCOPES)
    if unknown or not scopes:
        raise FieldInvalid(f"no such scopes: {', '.join(unknown) or '(none given)'}; there are {', '.join(sorted(SCOPES))}")
    if name.casefold() == SYSTEM:
        raise FieldInvalid(f"'{SYSTEM}' is the principal of what no person did: take another name")
    _require_rate(rate_per_second)
    token = PREFIX + secrets.token_urlsafe(32)
    with connect(url) as connection:
        connection.execute(store.REVOKE_EXPIRED, (name,))
        try:
            connection.execute(
                store.INSERT_ACCESS,
                (SystemClock().new_id(), name, hash_of(token), list(scopes), list(nodes), rate_per_second, expires_in_days),
            )
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(f"a token of the name '{name}' is in use: revoke it first, or take another name") from error
    return token


def rotate_token(
    url: str, name: str, overlap_hours: float = 24, expires_in_days: float | None = None, rate_per_second: float | None = None
) -> str:
    """A token that follows the current one of the name, with its scopes and nodes, and so is the same principal; with its rate too,
    unless another is given. The one before it works for `overlap_hours` more, unless it would have expired before.

    Raises: FieldInvalid; Conflict where no token of that name is in use; DatabaseUnavailable.
    """
    if not overlap_hours >= 0:
        raise FieldInvalid("an overlap is 0 hours or more")
    _require_rate(rate_per_second)
    token = PREFIX + secrets.token_urlsafe(32)
    with connect(url) as connection, connection.transaction():
        row = connection.execute(store.FOLLOW_ACCESS, (overlap_hours, name)).fetchone()
        if row is None:
            raise Conflict(f"no token of the name '{name}' is in use: there is nothing to follow")
        scopes, nodes, rate = row
        kept = (scopes, nodes, rate_per_second or rate)
        connection.execute(store.INSERT_ACCESS, (SystemClock().new_id(), name, hash_of(token), *kept, expires_in_days))
    return token


def _require_rate(per_second: float | None) -> None:
    if per_second is not None and not 0 < per_second < inf:
        raise FieldInvalid("a rate is more than 0 requests a second")


def revoke_token(url: str, name: str) -> int:
    """How many tokens of that name were revoked."""
    with connect(url) as connection:
        return connection.execute(store.REVOKE_ACCESS, (name,)).rowcount


def is_valid_token(url: str, token: str) -> bool:
    """Whether the database knows the token now."""
    with connect(url) as connection:
        return connection.execute(store.ACCESS, (hash_of(token),)).fetchone() is not None


def principal_of(url: str, token: str) -> Principal:
    """Whoever holds the token, as the database knows it now.

    Raises: TokenUnknown, DatabaseUnavailable.
    """
    with connect(url) as connection:
        row = connection.execute(store.ACCESS, (hash_of(token),)).fetchone()
    if row is None:
        raise TokenUnknown("the token is unknown, expired or revoked")
    return Principal(row[0], frozenset(row[1]), frozenset(row[2]), row[3])


class Access:
    """Authenticates tokens, by the hash of what was sent: equality of hashes of 256 random bits leaks nothing by its timing."""

    def __init__(self, reads: Reads, monotonic_ns: Callable[[], int]) -> None:
        self._reads = reads
        self._monotonic_ns = monotonic_ns
        self._known: OrderedDict[bytes, tuple[Principal, int]] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        """Raises: TokenUnknown, DatabaseUnavailable."""
        return await self.authenticate_hash(hash_of(token))

    async def authenticate_hash(self, digest: bytes) -> Principal:
        """Whoever holds the token of that hash: what a session carries in the token's place.

        Raises: TokenUnknown, DatabaseUnavailable.
        """
        known = self._known.get(digest)
        now_ns = self._monotonic_ns()
        if known is not None and now_ns < known[1]:
            return known[0]
        row = await self._reads.fetch_one(store.ACCESS, (digest,))
        if row is None:
            self._known.pop(digest, None)
            raise TokenUnknown("the token is unknown, expired or revoked")
        principal = Principal(row[0], frozenset(row[1]), frozenset(row[2]), row[3])
        self._known[digest] = (principal, now_ns + int(CACHE_SECONDS * 1e9))
        while len(self._known) > CACHE_TOKENS:
            self._known.popitem(last=False)
        return principal


def hash_of(token: str) -> bytes:
    """As which a token is stored."""
    return sha256(token.encode()).digest()
