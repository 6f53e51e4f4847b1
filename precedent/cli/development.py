"""What a development home gets at its start so that the first `curl` works: tokens, the shipped policies, their actions enabled."""

from __future__ import annotations

from precedent.cli.secrets import read_secret, write_secret
from precedent.clock import Clock
from precedent.db.engine import API, connect
from precedent.guard.access import SCOPES, create_token, is_valid_token, revoke_token
from precedent.guard.flags import MAX_LEVEL, set_flag
from precedent.guard.store import FLAGS
from precedent.ledger.store import chain_id_of
from precedent.policy.registry import publish_folder
from precedent.production import DEVELOPMENT, DEVELOPMENT_TOKEN, INTERNAL_TOKEN
from precedent.settings import Settings, project_root

REASON = "development start"


def internal_token(settings: Settings, clock: Clock) -> str:
    """The configured internal token, else that of home/internal-token, made there at first start."""
    if settings.internal_job_token is not None:
        return settings.internal_job_token.get_secret_value()
    path = settings.home_dir / INTERNAL_TOKEN
    token = read_secret(path)
    if token is None:
        token = clock.random_bytes(32).hex()
        write_secret(path, token)
    return token


def development_token(settings: Settings, url: str) -> str:
    """The token of home/dev-token with every scope; a new one where the file is gone or the database no longer knows it, and
    then the one before is revoked."""
    path = settings.home_dir / DEVELOPMENT_TOKEN
    token = read_secret(path)
    if token is None or not is_valid_token(url, token):
        revoke_token(url, DEVELOPMENT)
        token = create_token(url, DEVELOPMENT, sorted(SCOPES))
        write_secret(path, token)
    return token


def publish_policies(settings: Settings, url: str) -> list[str]:
    """Publish and activate policies/, and enable each of their actions that has no flag; what was done, line by line.

    An action that someone disabled has a flag, and stays disabled.
    """
    published = publish_folder(url, settings, project_root() / "policies", DEVELOPMENT)
    done = [f"published {one.ref}" for one in published if one.is_new]
    with connect(url, API) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        flagged = {(node, action) for node, action, *_ in connection.execute(FLAGS, (chain_id,))}
    for node, action in sorted({(one.node, action) for one in published for action in one.actions} - flagged):
        set_flag(url, settings, node, action, True, MAX_LEVEL, REASON, DEVELOPMENT)
        done.append(f"enabled {node}/{action}")
    return done
