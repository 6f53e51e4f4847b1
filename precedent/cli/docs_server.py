"""Serves the dbt docs on loopback: `python -m precedent.cli.docs_server PORT FOLDER PROJECT`.

What was generated before is served at once; it is generated anew only when a file of the project changed. Two names are served besides
the page, and nothing else: no listing, no other file of the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

from precedent.processes.child import spawn

SERVED = ("index.html", "manifest.json", "catalog.json")
SOURCES = {".sql", ".yml", ".yaml", ".md", ".csv"}
PATIENCE = b"<!doctype html><meta http-equiv=refresh content=3><title>dbt docs</title><p>The docs are being generated; this page reloads."


class Handler(SimpleHTTPRequestHandler):
    """GET and HEAD of the served names; anything else is not found."""

    def send_head(self):  # type: ignore[no-untyped-def]  # the parent returns a private protocol
        name = self.path.split("?", 1)[0].lstrip("/") or "index.html"
        if name not in SERVED:
            self.send_error(404)
            return None
        if not (Path(self.directory) / name).exists():
            self._ask_for_patience()
            return None
        return super().send_head()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: a page of documentation needs no access log."""

    def _ask_for_patience(self) -> None:
        self.send_response(503)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PATIENCE)))
        self.send_header("Retry-After", "3")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(PATIENCE)


class Server(ThreadingHTTPServer):
    """Serves each request in a thread; a reader who went away is not worth a line."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as it came


def fingerprint(project: Path) -> str:
    """Digest of every source file of a dbt project, its name and its content."""
    digest = hashlib.sha256()
    for path in sorted(project.rglob("*")):
        relative = path.relative_to(project)
        if path.suffix in SOURCES and not {"target", "logs", "dbt_packages"} & set(relative.parts):
            digest.update(f"{relative}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(folder: Path, project: Path) -> bool:
    """Whether what lies in the folder was generated from the project as it is."""
    mark = folder / "fingerprint"
    return mark.exists() and mark.read_text() == fingerprint(project) and all((folder / name).exists() for name in SERVED)


def start_generating(folder: Path, project: Path) -> subprocess.Popen[bytes]:
    """`dbt docs generate` as a child of ours, into a target of its own: Dagster's builds rewrite theirs meanwhile."""
    dbt = str(Path(sys.executable).with_name("dbt"))
    where = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", str(folder / "target")]
    argv = [dbt, "--no-use-colors", "--log-path", str(folder / "logs"), "docs", "generate", *where]
    return spawn(argv, environment=os.environ, folder=project, output=None)


def publish(folder: Path, made_from: str) -> None:
    """Put the generated files in their place; the fingerprint last, so that a crash between only means generating again."""
    for name in SERVED:
        fresh = folder / f"{name}.new"
        shutil.copyfile(folder / "target" / name, fresh)
        fresh.replace(folder / name)
    (folder / "fingerprint").write_text(made_from)


def stop(number: int, frame: object) -> NoReturn:
    sys.exit(0)


def main(port: int, folder: Path, project: Path) -> None:
    """Serve until a signal comes; generate first where it is due.

    A failed generation ends the process, so that the supervisor shows it and tries again.
    """
    signal.signal(signal.SIGTERM, stop)
    folder.mkdir(parents=True, exist_ok=True)
    made_from = fingerprint(project)
    generation = None if is_current(folder, project) else start_generating(folder, project)
    with Server(("127.0.0.1", port), lambda *given: Handler(*given, directory=str(folder))) as server:
        server.timeout = 0.5
        while True:
            server.handle_request()
            if generation is not None and generation.poll() is not None:
                if generation.returncode != 0:
                    sys.exit(f"couldn't generate the dbt docs: dbt ended with {generation.returncode}")
                publish(folder, made_from)
                generation = None


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
