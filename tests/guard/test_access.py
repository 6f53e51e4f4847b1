import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import psycopg
import pytest

from precedent.db.reads import Reads
from precedent.errors import Conflict, FieldInvalid, ScopeMissing, TokenUnknown
from precedent.guard.access import (
    CACHE_SECONDS,
    CACHE_TOKENS,
    SCOPES,
    Access,
    Principal,
    create_token,
    is_valid_token,
    principal_of,
    revoke_token,
    rotate_token,
)


class Present:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def ns(self) -> int:
        return int(self.seconds * 1e9)


class Counted(Reads):
    """Counts what it is asked."""

    asked = 0

    async def fetch(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self.asked += 1
        return await super().fetch(statement, parameters)


def with_access(url: str, use: Callable[[Access, Present, Counted], Awaitable[None]]) -> None:
    async def run() -> None:
        reads, present = Counted(url, 1), Present()
        await reads.open()
        try:
            await use(Access(reads, present.ns), present, reads)
        finally:
            await reads.close()

    asyncio.run(run())


def test_only_the_hash_of_a_token_is_stored(database_url: str) -> None:
    token = create_token(database_url, "somebody", ["read"])
    with psycopg.connect(database_url) as connection:
        ((stored, whole),) = connection.execute("select token_hash, t::text from precedent.api_tokens t").fetchall()
    assert stored == sha256(token.encode()).digest()
    assert token not in whole
    assert len(token) >= 43
    assert create_token(database_url, "somebody else", ["read"]) != token


def test_a_name_is_one_tokens_until_that_is_revoked_or_expires(database_url: str) -> None:
    create_token(database_url, "somebody", ["read"])
    with pytest.raises(Conflict, match="'somebody' is in use"):
        create_token(database_url, "somebody", ["read"])
    revoke_token(database_url, "somebody")
    create_token(database_url, "somebody", ["read"], expires_in_days=-0.001)
    create_token(database_url, "somebody", ["read"])
    assert revoke_token(database_url, "somebody") == 1


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "write"]])
def test_a_token_has_scopes_that_exist(database_url: str, scopes: list[str]) -> None:
    with pytest.raises(FieldInvalid):
        create_token(database_url, "somebody", scopes)


def test_a_principal_has_its_scopes_on_its_nodes() -> None:
    principal = Principal("somebody", frozenset({"read", "decisions:write"}), frozenset({"finance"}))
    principal.require("read")
    principal.require("decisions:write", "finance")
    for scope, node in (("flags:write", None), ("flags:write", "finance"), ("decisions:write", "credit"), ("decisions:write", "*")):
        with pytest.raises(ScopeMissing):
            principal.require(scope, node)
    everywhere = Principal("somebody", SCOPES, frozenset({"*"}))
    everywhere.require("flags:write", "anywhere")
    everywhere.require("flags:write", "*")


def test_a_token_is_remembered_for_a_while(database_url: str) -> None:
    token = create_token(database_url, "somebody", ["read"], ["finance"])

    async def use(access: Access, present: Present, reads: Counted) -> None:
        principal = await access.authenticate(token)
        assert principal == Principal("somebody", frozenset({"read"}), frozenset({"finance"}))
        present.seconds = CACHE_SECONDS - 0.01
        assert await access.authenticate(token) == principal
        assert reads.asked == 1
        present.seconds = CACHE_SECONDS
        assert await access.authenticate(token) == principal
        assert reads.asked == 2

    with_access(database_url, use)


def test_a_revoked_token_is_unknown_once_it_is_forgotten(database_url: str) -> None:
    token = create_token(database_url, "somebody", ["read"])
    assert is_valid_token(database_url, token)

    async def use(access: Access, present: Present, reads: Counted) -> None:
        await access.authenticate(token)
        assert revoke_token(database_url, "somebody") == 1
        present.seconds = CACHE_SECONDS
        for _ in range(2):
            with pytest.raises(TokenUnknown):
                await access.authenticate(token)

    with_access(database_url, use)
    assert not is_valid_token(database_url, token)
    assert revoke_token(database_url, "somebody") == 0


@pytest.mark.parametrize("token", ["", "prc_unknown", "x" * 100_000, "ü", "\x00"])
def test_an_unknown_token_is_unknown_and_not_remembered(database_url: str, token: str) -> None:
    async def use(access: Access, present: Present, reads: Counted) -> None:
        for _ in range(2):
            with pytest.raises(TokenUnknown):
                await access.authenticate(token)
        assert reads.asked == 2

    with_access(database_url, use)


def test_a_token_that_expired_is_unknown(database_url: str) -> None:
    token = create_token(database_url, "somebody", ["read"], expires_in_days=-0.001)
    other = create_token(database_url, "somebody", ["read"], expires_in_days=1)

    async def use(access: Access, present: Present, reads: Counted) -> None:
        with pytest.raises(TokenUnknown):
            await access.authenticate(token)
        await access.authenticate(other)

    with_access(database_url, use)


def test_what_is_remembered_is_bounded(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.cursor().executemany(
            "insert into precedent.api_tokens (id, name, token_hash, scopes, nodes) values (gen_random_uuid(), %s, %s, '{read}', '{*}')",
            [(f"name-{n}", sha256(f"token-{n}".encode()).digest()) for n in range(CACHE_TOKENS + 1)],
        )

    async def use(access: Access, present: Present, reads: Counted) -> None:
        for n in range(CACHE_TOKENS + 1):
            await access.authenticate(f"token-{n}")
        asked = reads.asked
        await access.authenticate(f"token-{CACHE_TOKENS}")
        assert reads.asked == asked
        await access.authenticate("token-0")
        assert reads.asked == asked + 1

    with_access(database_url, use)


@pytest.mark.parametrize("name", ["system", "System"])
def test_no_token_speaks_under_the_name_of_our_own_processes(database_url: str, name: str) -> None:
    with pytest.raises(FieldInvalid, match="no person did"):
        create_token(database_url, name, ["read"])


def test_a_token_is_followed_by_another_of_the_same_principal_and_works_on_for_a_time(database_url: str) -> None:
    first = create_token(database_url, "somebody", ["read", "events:write"], ["finance"])
    second = rotate_token(database_url, "somebody", overlap_hours=1, expires_in_days=90)
    assert principal_of(database_url, first) == principal_of(database_url, second)
    assert principal_of(database_url, second) == Principal("somebody", frozenset({"read", "events:write"}), frozenset({"finance"}))
    with pytest.raises(Conflict):
        create_token(database_url, "somebody", ["read"])
    third = rotate_token(database_url, "somebody", overlap_hours=0)
    # The first has its hour, whatever came after its successor; the second had none.
    assert [is_valid_token(database_url, one) for one in (first, second, third)] == [True, False, True]
    with psycopg.connect(database_url) as connection:
        connection.execute("update precedent.api_tokens set expires_at = expires_at - interval '1 hour' where followed_at is not null")
    assert [is_valid_token(database_url, one) for one in (first, second, third)] == [False, False, True]
    fourth = rotate_token(database_url, "somebody")
    assert revoke_token(database_url, "somebody") == 4
    assert not is_valid_token(database_url, third)
    assert not is_valid_token(database_url, fourth)


def test_a_token_near_its_end_gains_nothing_by_being_followed(database_url: str) -> None:
    first = create_token(database_url, "somebody", ["read"], expires_in_days=0.01)
    rotate_token(database_url, "somebody", overlap_hours=100)
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select expires_at < now() + interval '1 hour' from precedent.api_tokens where token_hash = %s",
            (sha256(first.encode()).digest(),),
        ).fetchone()
    assert row == (True,)


def test_nothing_follows_a_token_that_is_not_in_use(database_url: str) -> None:
    create_token(database_url, "expired", ["read"], expires_in_days=-1)
    create_token(database_url, "revoked", ["read"])
    revoke_token(database_url, "revoked")
    for name in ("expired", "revoked", "never"):
        with pytest.raises(Conflict):
            rotate_token(database_url, name)


def test_a_token_keeps_its_rate_until_another_is_given(database_url: str) -> None:
    usual = create_token(database_url, "usual", ["read"])
    quick = create_token(database_url, "quick", ["read"], rate_per_second=5000)
    assert [principal_of(database_url, one).rate_per_second for one in (usual, quick)] == [None, 5000.0]
    kept = rotate_token(database_url, "quick")
    slowed = rotate_token(database_url, "quick", rate_per_second=0.5)
    assert [principal_of(database_url, one).rate_per_second for one in (kept, slowed)] == [5000.0, 0.5]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(database_url: str, rate: float) -> None:
    with pytest.raises(FieldInvalid, match="more than 0"):
        create_token(database_url, "somebody", ["read"], rate_per_second=rate)
    token = create_token(database_url, "somebody", ["read"])
    with pytest.raises(FieldInvalid, match="more than 0"):
        rotate_token(database_url, "somebody", rate_per_second=rate)
    assert is_valid_token(database_url, token)
