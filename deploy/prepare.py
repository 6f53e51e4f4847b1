"""Makes a database ready before the API starts: migrations, roles, rights, Dagster's schema. Harmless when run again.

With `--create-keys` also the keys, where their folder holds none: once, at the first installation. Missing keys are never
replaced in silence by a start, for new ones leave everything personal that was sealed under the old ones dark.
"""

from __future__ import annotations

import sys

from precedent.cli.session import prepare_database
from precedent.clock import SystemClock, to_instant
from precedent.db.embedded import database_url
from precedent.ledger.keyring import load_keyring
from precedent.ledger.signer_keys import KEY_NAME, create_signer_key
from precedent.settings import load_settings


def main(arguments: list[str]) -> None:
    settings = load_settings()
    prepare_database(database_url(settings))
    print("the database is ready")
    if "--create-keys" in arguments:
        is_new = not any(settings.keys_path.glob("*.key"))
        if is_new and settings.root_key is None:
            load_keyring(settings.keys_path, to_instant(SystemClock().now_us())[:7], create=True)
        # Apart: an installation from before there were checkpoints has keys, but none to sign with.
        if is_new or not (settings.keys_path / KEY_NAME).exists():
            create_signer_key(settings.keys_path)
            print(f"made keys in {settings.keys_path}: back them up, apart from the database")
        else:
            print(f"{settings.keys_path} holds keys already: none was made")


if __name__ == "__main__":
    main(sys.argv[1:])
