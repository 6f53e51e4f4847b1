"""What a development home gets at its start so that the first `curl` works: tokens, the shipped policies, their actions enabled."""

from __future__ import annotations

from precedent.cli.secrets import DEVELOPMENT_TOKEN, INTERNAL_TOKEN, read_secret, write_secret
from precedent.clock import Clock
from precedent.settings import Settings, project_root

PRINCIPAL = "development"
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
    """The token of home/dev-token with every scope; a new one where the file is gone or the database no longer knows it."""
    from precedent.guard import access

    path = settings.home_dir / DEVELOPMENT_TOKEN
    token = read_secret(path)
    if token is None or not access.is_valid(url, token):
        token = access.create_token(url, PRINCIPAL, access.SCOPES)
        write_secret(path, token)
    return token


def publish_policies(settings: Settings, url: str) -> list[str]:
    """Publish and activate policies/; what was new, as refs. An action whose policy is new and that has no flag yet is enabled."""
    from precedent.guard import flags
    from precedent.policy import registry

    published = registry.publish_folder(url, settings, project_root() / "policies", PRINCIPAL, activate=True)
    for item in published:
        for action in item.actions:
            flags.set_flag(url, settings, item.node, action, True, 3, REASON, PRINCIPAL)
    return [item.ref for item in published]
