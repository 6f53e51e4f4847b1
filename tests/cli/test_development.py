from __future__ import annotations

from precedent.cli.development import development_token
from precedent.guard.access import is_valid_token
from precedent.settings import Settings


def test_a_development_token_whose_file_is_gone_is_replaced(database_url: str, settings: Settings) -> None:
    settings.home_dir.mkdir()
    token = development_token(settings, database_url)
    assert development_token(settings, database_url) == token
    (settings.home_dir / "dev-token").unlink()
    other = development_token(settings, database_url)
    assert other != token
    assert is_valid_token(database_url, other)
    assert not is_valid_token(database_url, token)
