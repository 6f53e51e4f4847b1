"""The programs of one machine, as the supervisor runs them: what each is called, gets and answers when it is ready."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from precedent.cli.supervise import Program, answers
from precedent.db.cluster import server_environment
from precedent.db.embedded import ServerCommand
from precedent.db.engine import dbt_environment, sqlalchemy_url, with_options
from precedent.settings import Settings, project_root

DAGSTER_SCHEMA = "dagster"

# Storage in our own database; `up` passes the address, so that no password lies in a file.
DAGSTER_YAML = """\
storage:
  postgres:
    postgres_url:
      env: PRECEDENT_DAGSTER_STORAGE_URL
# Steps that derive share one pool: a second run of them waits in the queue, as a whole, and holds no process.
concurrency:
  pools:
    default_limit: 1
    granularity: run
freshness:
  enabled: true
telemetry:
  enabled: false
nux:
  enabled: false
"""

HEALTH_QUERY = "{ instance { daemonHealth { allDaemonStatuses { required healthy lastHeartbeatTime } } } }"


def postgres_program(command: ServerCommand) -> Program:
    """The embedded server; SIGINT is its fast shutdown."""
    return Program(
        name="postgres",
        argv=command.argv,
        environment=server_environment(),
        folder=Path("/"),
        is_ready=command.is_ready,
        stop_signal=signal.SIGINT,
        grace_seconds=30.0,
        user=command.user,
    )


def signer_program(settings: Settings, environment: dict[str, str]) -> Program:
    """The signer, where settings make it a process of its own."""
    return Program(
        name="signer",
        argv=(sys.executable, "-P", "-m", "precedent.cli.main", "signer"),
        environment=environment,
        folder=project_root(),
        is_ready=lambda: _is_listening(settings.signer_socket_path),
    )


def api_program(settings: Settings, environment: dict[str, str], *, with_reload: bool) -> Program:
    """The API; under reload it runs in uvicorn's own supervisor and its log goes to the terminal."""
    address = ("--host", settings.api_host, "--port", str(settings.api_port))
    reload = ("uvicorn", "api.__main__:logged_app", "--factory", "--reload", "--no-access-log", *address)
    return Program(
        name="api",
        argv=(sys.executable, "-m", *(reload if with_reload else ("api",))),
        environment=environment,
        folder=project_root(),
        is_ready=lambda: answers(f"{settings.api_url}/ready"),
        is_echoed=with_reload,
    )


def dagster_programs(settings: Settings, environment: dict[str, str], began_us: int) -> tuple[Program, Program]:
    """Webserver and daemon, on loopback, both over `workspace.yaml`; `began_us` tells the daemon's beats from those of an earlier run."""
    workspace = ("-w", str(project_root() / "workspace.yaml"))
    port = str(settings.dagster_port)
    own_url = f"http://127.0.0.1:{port}"
    webserver = Program(
        name="dagster-webserver",
        argv=(beside_python("dagster-webserver"), "-h", "127.0.0.1", "-p", port, *workspace),
        environment=environment,
        folder=project_root(),
        is_ready=lambda: answers(f"{own_url}/server_info"),
        is_leaf=True,
    )
    daemon = Program(
        name="dagster-daemon",
        argv=(beside_python("dagster-daemon"), "run", *workspace),
        environment=environment,
        folder=project_root(),
        is_ready=lambda: is_daemon_healthy(own_url, began_us),
        is_leaf=True,
    )
    return webserver, daemon


def docs_program(settings: Settings, environment: dict[str, str]) -> Program:
    folder = settings.home_dir / "dbt" / "docs"
    return Program(
        name="docs",
        argv=(sys.executable, "-m", "precedent.cli.docs_server", str(settings.docs_port), str(folder), str(project_root() / "dbt")),
        environment=environment,
        folder=project_root(),
        is_ready=lambda: answers(settings.docs_url),
        is_leaf=True,
    )


def child_environment(settings: Settings, url: str, internal_token: str) -> dict[str, str]:
    """What every program gets: the caller's environment, and each setting that was given anywhere, so that all read the same."""
    environment = dict(os.environ)
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        environment[f"PRECEDENT_{name.upper()}"] = _text(value)
    home = settings.home_dir
    own = {
        "PRECEDENT_ROOT": str(project_root()),
        "PRECEDENT_HOME": str(home),
        "PRECEDENT_API_PORT": str(settings.api_port),
        "PRECEDENT_DATABASE_URL": url,
        "PRECEDENT_INTERNAL_JOB_TOKEN": internal_token,
        "PRECEDENT_DAGSTER_STORAGE_URL": sqlalchemy_url(with_options(url, search_path=DAGSTER_SCHEMA), "psycopg2"),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DBT_TARGET_PATH": str(home / "dbt" / "target"),
        "DBT_LOG_PATH": str(home / "dbt" / "logs"),
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return environment | dbt_environment(url) | own


def write_dagster_home(home: Path) -> None:
    """Dagster's folder with its configuration, and dbt's, which nobody else makes."""
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    (home / "dbt").mkdir(exist_ok=True)
    (home / "dagster" / "dagster.yaml").write_text(DAGSTER_YAML)


def is_daemon_healthy(webserver_url: str, began_us: int) -> bool:
    """Whether each required daemon has beaten since `began_us`, as the webserver sees it.

    Asking the daemon's own command costs seconds of imports.
    """
    parts = urlsplit(webserver_url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=2.0)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": HEALTH_QUERY}), {"Content-Type": "application/json"})
        statuses = json.loads(connection.getresponse().read())["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] and status["lastHeartbeatTime"] * 1e6 >= began_us for status in statuses if status["required"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


def beside_python(name: str) -> str:
    """The program that was installed into the environment of this interpreter."""
    return str(Path(sys.executable).with_name(name))


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
