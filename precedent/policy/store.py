"""SQL of published policies."""

from __future__ import annotations

EPOCH = "select epoch from precedent.control_epoch where chain_id = %s"

VERSION = "select status, digest, node, source from precedent.policy_versions where chain_id = %s and name = %s and version = %s"

ACTIVE_ELSEWHERE = """
select name, version, source from precedent.policy_versions
where chain_id = %s and node = %s and status = 'active' and name <> %s
"""

LIST = """
select name, version, node, digest, status, created_at, created_by, activated_at
from precedent.policy_versions where chain_id = %s order by name, created_at desc
"""

# One statement sees one snapshot: the epoch, the policies and the flags belong together.
AUTHORITY = """
select
    coalesce((select epoch from precedent.control_epoch where chain_id = %(chain)s), 0),
    (select coalesce(jsonb_agg(jsonb_build_array(name, version, status, digest, source) order by seq), '[]')
     from precedent.policy_versions where chain_id = %(chain)s and status <> 'published'),
    (select coalesce(jsonb_agg(jsonb_build_array(node, action, enabled, max_level) order by node, action), '[]')
     from precedent.node_flags where chain_id = %(chain)s)
"""

ONE = """
select name, version, node, digest, status, created_at, created_by, activated_at, source, document
from precedent.policy_versions
where chain_id = %(chain)s and name = %(name)s and (version = %(version)s or (%(version)s::text is null and status = 'active'))
"""
