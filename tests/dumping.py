"""Dumps of whole databases, what restores them, and the forms in which a value could stand in one."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import psycopg

from precedent.db.cluster import programs_dir, server_environment


def dump_of(database_url: str) -> bytes:
    """Schema and rows of the whole database, as text."""
    return _run("pg_dump", database_url, "--inserts")


def restore(dump: bytes, administrator_url: str, name: str) -> str:
    """A new database of the same server with what was dumped; its URL."""
    with psycopg.connect(administrator_url, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    path = urlsplit(administrator_url).path
    url = administrator_url.replace(f"{path}?", f"/{name}?", 1)
    _run("psql", url, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null", stdin=dump)
    return url


def forms_of(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield raw
    yield raw.hex().encode()
    # Whatever stands before it in the same text moves base64 by up to two bytes; the ends depend on neighbours.
    for shift in range(3):
        yield b64encode(b"\x00" * shift + raw)[4 if shift else 0 : -4]


def _run(program: str, database_url: str, *arguments: str, stdin: bytes = b"") -> bytes:
    parts = urlsplit(database_url)
    (host,) = parse_qs(parts.query)["host"]
    argv = [str(programs_dir() / program), *arguments, "--host", host, "--username", "postgres", parts.path.strip("/")]
    return subprocess.run(argv, input=stdin, capture_output=True, check=True, env=server_environment()).stdout
