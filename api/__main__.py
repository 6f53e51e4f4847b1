"""`python -m api`: one API process. SIGTERM drains it: requests in flight are answered, what waits for a commit is committed."""

from __future__ import annotations

import gc
import sys

from fastapi import FastAPI

from api.app import create_app
from api.logs import configure_logs
from api.server import run
from precedent.errors import SettingsInvalid
from precedent.production import require_production_files
from precedent.settings import Settings, load_settings


def logged_app(settings: Settings | None = None) -> FastAPI:
    """The application of a process of its own, however that was started: its logs are lines of JSON, and hold no variables."""
    settings = settings or load_settings()
    configure_logs(settings.log_level)
    app = create_app(settings)
    _settle_garbage()
    return app


def _settle_garbage() -> None:
    """Keep the collector from walking what start-up made, and let it come less often: 8 % of a decision's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def main() -> None:
    try:
        settings = load_settings()
        require_production_files(settings)
    except SettingsInvalid as error:
        sys.exit(f"couldn't start the API: {error}")
    run(logged_app(settings), settings)


if __name__ == "__main__":
    main()
