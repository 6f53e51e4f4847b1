"""SQL of what is watched: how far the tree is behind the chain, whether a place in it is empty, what was decided, what came of it."""

# The newest checkpoint's size, and the first envelope that it does not cover.
COVERED = """
with covered as (select coalesce(max(size), 0) as size from ledger.checkpoint where chain_id = %(chain)s)
select covered.size, (select e.envelope from ledger.entry e where e.chain_id = %(chain)s and e.seq = covered.size) from covered
"""

# Of places `first` … `last` - 1, those that are taken. By the primary key alone: 100,000 places cost some 10 ms.
TAKEN = "select count(*) from ledger.entry where chain_id = %(chain)s and seq >= %(first)s and seq < %(last)s"

DECIDED = """
select d.node, d.verdict, d.autonomy_level, d.policy_version, count(*) from precedent.decisions d
where d.chain_id = %(chain)s and d.recorded_at > now() - interval '1 day'
group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""

# An approval that is a day old and of which nobody has said what came of it teaches nothing.
UNKNOWN = """
select d.node, count(*), count(*) filter (where not exists (
    select from precedent.outcomes o where o.chain_id = d.chain_id and o.decision_id = d.id))
from precedent.decisions d
where d.chain_id = %(chain)s and d.verdict = 'approve'
  and d.recorded_at > now() - interval '8 days' and d.recorded_at <= now() - interval '1 day'
group by 1 order by 1
"""
