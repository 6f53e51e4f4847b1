"""SQL of published policies."""

from __future__ import annotations

EPOCH = "select epoch from precedent.control_epoch where chain_id = %s"

VERSION = "select status, digest, node, source from precedent.policy_versions where chain_id = %s and name = %s and version = %s"

ACTIVE_ELSEWHERE = """
select name, version, source from precedent.policy_versions
where chain_id = %s and node = %s and status = 'active' and name <> %s
"""

ACTIVE_VERSION = "select version from precedent.policy_versions where chain_id = %s and name = %s and status = 'active'"

ACTIVE_BEFORE = """
select version from precedent.policy_versions
where chain_id = %s and name = %s and status = 'superseded' order by activated_at desc, seq desc limit 1
"""

SECOND_PERSON = "select second_person from precedent.change_control where chain_id = %s and node = %s"

CHANGE_CONTROL = """
select node, second_person, reason, updated_at, updated_by from precedent.change_control where chain_id = %s order by node
"""

_PROPOSAL = """
select id, node, op, name, version, replaces, status, reason, proposed_by, proposed_at, closed_by, closed_at, closing_reason
from precedent.policy_proposals
"""
PROPOSAL = _PROPOSAL + "where chain_id = %s and id = %s"
PROPOSALS = (
    _PROPOSAL
    + """
where chain_id = %(chain)s and (%(status)s::text is null or status = %(status)s) and (%(nodes)s::text[] is null or node = any(%(nodes)s))
  and (%(after)s::uuid is null or id < %(after)s)
order by id desc limit %(limit)s
"""
)

OPEN_PROPOSAL = """
select id, proposed_by from precedent.policy_proposals
where chain_id = %s and status = 'open' and op = %s and node = %s and name is not distinct from %s and version is not distinct from %s
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

# Of a version, or of whatever is published under the name.
NODE_OF = """
select node from precedent.policy_versions
where chain_id = %(chain)s and name = %(name)s and (%(version)s::text is null or version = %(version)s) order by seq desc limit 1
"""
