"""SQL of tokens and flags."""

from __future__ import annotations

ACCESS = """
select name, scopes, nodes, rate_per_second
from precedent.api_tokens
where token_hash = %s and revoked_at is null and (expires_at is null or expires_at > now())
"""

INSERT_ACCESS = """
insert into precedent.api_tokens (id, name, token_hash, scopes, nodes, rate_per_second, expires_at)
values (%s, %s, %s, %s, %s, %s, now() + %s * interval '1 day')
"""

# What has expired must not keep its name from the token that follows it.
REVOKE_EXPIRED = "update precedent.api_tokens set revoked_at = now() where name = %s and revoked_at is null and expires_at <= now()"

# The current token of a name gives way, no later than it would have expired.
FOLLOW_ACCESS = """
update precedent.api_tokens
set followed_at = now(), expires_at = least(expires_at, now() + %s * interval '1 hour')
where name = %s and revoked_at is null and followed_at is null and (expires_at is null or expires_at > now())
returning scopes, nodes, rate_per_second
"""

REVOKE_ACCESS = "update precedent.api_tokens set revoked_at = now() where name = %s and revoked_at is null"

IN_USE = """
select exists (select 1 from precedent.api_tokens where name = %s and revoked_at is null and (expires_at is null or expires_at > now()))
"""

LIST_ACCESS = (
    "select name, scopes, nodes, rate_per_second, created_at, expires_at, revoked_at from precedent.api_tokens order by created_at"
)

# Until the transaction ends, in every process.
ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtextextended(encode(%s, 'hex'), 0))"

FLAGS = """
select node, action, enabled, max_level, reason, updated_at, updated_by
from precedent.node_flags where chain_id = %s order by node, action
"""
