"""What is still to be done before an action decides, in a line each: a step of a policy or a flag alone may change nothing."""

from __future__ import annotations

from collections.abc import Iterator

from precedent.authority import Authority, authority_of
from precedent.db.engine import API, connect
from precedent.guard.flags import KILL_SWITCH
from precedent.ledger.store import chain_id_of
from precedent.policy.store import AUTHORITY
from precedent.settings import Settings


def not_enabled(url: str, settings: Settings, ref: str) -> Iterator[str]:
    """The actions of an active version that nobody turned on, each with the command that does."""
    authority = _authority(url, settings)
    policy = authority.policies[ref].document
    for action in policy.actions:
        if not authority.flags.of(policy.node, action).is_enabled:
            yield f"{action} is not enabled yet: precedent flag set {policy.node} {action} --on --max-level 1 --reason WHY"


def not_declared(url: str, settings: Settings, node: str, action: str) -> Iterator[str]:
    """That a flag is for an action that no active policy declares, and which there are."""
    authority = _authority(url, settings)
    if (node, action) == KILL_SWITCH or action in authority.active.get(node, {}):
        return
    known = [f"{one}/{name}" for one, actions in sorted(authority.active.items()) for name in sorted(actions)]
    yield f"no active policy declares {node}/{action} yet; declared are: {', '.join(known) or 'none'}"


def _authority(url: str, settings: Settings) -> Authority:
    with connect(url, API) as connection:
        row = connection.execute(AUTHORITY, {"chain": chain_id_of(connection, settings.chain)}).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return authority_of(row, None)
