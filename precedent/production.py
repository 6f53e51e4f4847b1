"""What production refuses to start with: each reason says what to do about it.

Values are judged wherever settings are read; files of the home and the keys, by the processes that serve.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import SecretStr

from precedent.errors import SettingsInvalid

if TYPE_CHECKING:
    from precedent.settings import Settings

# Files of a home in development, each a token that opens everything of its kind.
INTERNAL_TOKEN = "internal-token"  # noqa: S105  # a file's name
DEVELOPMENT_TOKEN = "dev-token"  # noqa: S105
# The principal of the token of a development home.
DEVELOPMENT = "development"

DEMO_SECRETS = frozenset(
    {
        "changeme",
        "change-me",
        "demo",
        "dev",
        "development",
        "internal",
        "password",
        "placeholder",
        "postgres",
        "precedent",
        "secret",
        "test",
    }
)
# As examples write what is to be filled in: <64 hexadecimal digits>, …, your-token, xxxxxx.
PLACEHOLDER = re.compile(r"[<>…]|\.\.\.|change.?me|placeholder|\byour[-_ ]|x{6,}", re.IGNORECASE)
LEAST_TOKEN_CHARS = 24
# 32 random bytes have fewer different ones in none of 10^12 cases, 24 random hexadecimal digits fewer than 6 in one of 10^8.
LEAST_KEY_VALUES = 16
LEAST_TOKEN_VALUES = 6
GUESSED = "is a demo secret or a placeholder: replace it by a random one, as `openssl rand -hex 32` makes"


def refused_values(settings: Settings) -> Iterator[str]:
    """Why settings are not for production, one reason each."""
    if settings.database_url is None:
        yield "it needs PRECEDENT_DATABASE_URL: the embedded database is for development"
    if settings.internal_job_token is None or len(settings.internal_job_token.get_secret_value()) < LEAST_TOKEN_CHARS:
        yield f"it needs a PRECEDENT_INTERNAL_JOB_TOKEN of {LEAST_TOKEN_CHARS} characters or more: make one by `openssl rand -hex 24`"
    if settings.keys_dir is None:
        yield "it needs PRECEDENT_KEYS_DIR, a folder outside the database that is backed up apart from it"
    for name in _guessable(settings):
        yield f"PRECEDENT_{name.upper()} {GUESSED}"
    if settings.debug:
        yield "PRECEDENT_DEBUG shows insides of the service to callers: switch it off"
    if not settings.tls_at_proxy and not _is_loopback(settings.api_host):
        yield (
            f"tokens would cross the network in clear: PRECEDENT_API_HOST is {settings.api_host}, and this process speaks plain HTTP. "
            "Bind it to 127.0.0.1 behind a proxy with TLS, or, where only such a proxy reaches it, say PRECEDENT_TLS_AT_PROXY=true"
        )


def refused_files(settings: Settings) -> Iterator[str]:
    """Why the files that settings name are not for production. Reads names and modes, of no key its bytes."""
    for name, remedy in (
        (DEVELOPMENT_TOKEN, f"revoke it (`precedent token revoke {DEVELOPMENT}`), and remove the file"),
        (INTERNAL_TOKEN, "set another PRECEDENT_INTERNAL_JOB_TOKEN, and remove the file"),
    ):
        if (path := settings.home_dir / name).exists():
            yield f"{path} is a token of development: {remedy}"
    folder = settings.keys_path
    if folder.is_dir() and _mode(folder) & 0o022:
        yield f"others may put keys of theirs into {folder}: chmod 700"
    for path in sorted(folder.glob("*.key")):
        if _mode(path) & 0o077:
            yield f"others may read the key {path}: chmod 600, and rotate it"
    dotenv = Path(".env")
    if dotenv.is_file() and _mode(dotenv) & 0o077 and _holds_secret(settings, dotenv):
        yield f"others may read the secrets in {dotenv.resolve()}: chmod 600, and make new ones"


def require_production_files(settings: Settings) -> None:
    """Nothing outside production.

    Raises: SettingsInvalid with every reason.
    """
    if settings.mode == "production" and (reasons := list(refused_files(settings))):
        raise SettingsInvalid(f"production refuses to start: {'; '.join(reasons)}")


def _guessable(settings: Settings) -> Iterator[str]:
    """Names of the secrets that anybody who has read an example would try."""
    for name, value in settings:
        if isinstance(value, SecretStr) and any(_is_guessable(part, name) for part in _parts(name, value.get_secret_value())):
            yield name


def _parts(name: str, text: str) -> list[str]:
    """What of a setting is secret: of an address its password, of a list of keys each. A module of one's own is none."""
    if name == "database_url":
        password = urlsplit(text).password
        return [unquote(password)] if password else []
    if name == "epoch_keys":
        return [] if text.startswith("python:") else [one.partition("=")[2] for one in text.split()]
    return text.split(",") if name == "signer_key" else [text]


def _is_guessable(secret: str, name: str) -> bool:
    if secret.lower() in DEMO_SECRETS or PLACEHOLDER.search(secret) is not None:
        return True
    if name == "internal_job_token":
        return len(set(secret)) < LEAST_TOKEN_VALUES
    if name not in {"root_key", "epoch_keys", "signer_key"}:
        return False
    try:
        return len(set(bytes.fromhex(secret.strip()))) < LEAST_KEY_VALUES
    except ValueError:
        return False  # no key at all, which whoever reads it says


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _holds_secret(settings: Settings, dotenv: Path) -> bool:
    held = {name.upper() for name, value in dotenv_values(dotenv).items() if value}
    for name, field in type(settings).model_fields.items():
        choices = getattr(field.validation_alias, "choices", [f"PRECEDENT_{name.upper()}"])
        if "SecretStr" in str(field.annotation) and held & set(choices):
            return True
    return False


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
