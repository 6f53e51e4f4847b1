"""`python -m api`: one API process. SIGTERM drains it: requests in flight are answered, what waits for a commit is committed."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from api.logs import configure_logs
from precedent.settings import load_settings


def main() -> None:
    settings = load_settings()
    configure_logs(settings.log_level)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=15,
        h11_max_incomplete_event_size=32 * 1024,
    )


if __name__ == "__main__":
    main()
