"""Where checkpoints are kept outside the database, so that a database that was taken back is found out.

There may be several, and each is served by a thread of its own: one that hangs or fails holds up neither the tree nor the others,
is tried again, and says in `failures` what is the matter.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

import structlog

from precedent.errors import SettingsInvalid
from precedent.ledger.key_files import replace_text

PLUGIN = "python:"
RETRY_SECONDS = 5.0
# How long a start waits for an anchor that does not answer, and an end for what is on its way.
PATIENCE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Anchor(Protocol):
    """Keeps the newest checkpoint of each origin, out of reach of whoever can change the database."""

    @property
    def name(self) -> str:
        """By which an operator knows it."""
        ...

    def write(self, origin: str, note: str) -> None:
        """Keep `note` as the newest; durable on return. Raises: OSError."""
        ...

    def read(self, origin: str) -> str | None:
        """The newest note that was written. Raises: OSError."""
        ...

    def set_aside(self, origin: str, label: str) -> None:
        """Keep a copy of the newest note as `label`, as evidence, before another that contradicts it is written. Raises: OSError."""
        ...


class FolderAnchor:
    """One file an origin, replaced as a whole. Put the folder on another machine's disk to gain more than from one beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        return str(self._folder)

    def write(self, origin: str, note: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_text(self._path(origin), note)

    def read(self, origin: str) -> str | None:
        try:
            return self._path(origin).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def set_aside(self, origin: str, label: str) -> None:
        if (note := self.read(origin)) is not None:
            replace_text(aside_path(self._path(origin), label), note)

    def _path(self, origin: str) -> Path:
        return self._folder / checkpoint_file(origin)


def checkpoint_file(origin: str) -> str:
    """Name of the file that holds the newest checkpoint of an origin."""
    return f"{origin.replace('/', '_')}.checkpoint"


def aside_path(path: Path, label: str) -> Path:
    """Where a checkpoint is kept that nothing continues any more."""
    return path.with_name(f"{path.name}.{label}")


def anchors_of(places: Sequence[str], default: Path) -> list[Anchor]:
    """Of each place an anchor: a folder, or what `python:module:name` names, called without arguments.

    Raises: SettingsInvalid.
    """
    return [_plugin(place) if place.startswith(PLUGIN) else FolderAnchor(Path(place).expanduser().resolve()) for place in places] or [
        FolderAnchor(default)
    ]


def _plugin(place: str) -> Anchor:
    module, _, name = place.removeprefix(PLUGIN).partition(":")
    try:
        made: Anchor = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise SettingsInvalid(f"couldn't make the anchor {place}: {error}") from error
    return made


@dataclass(slots=True)
class _Post:
    """What is to be written next, and how the last try went; `changed` guards both."""

    anchor: Anchor
    changed: threading.Condition = field(default_factory=threading.Condition)
    wanted: tuple[str, str] | None = None
    is_ending: bool = False
    failure: str | None = None
    thread: threading.Thread | None = None


class Anchors:
    """Several anchors, written in the background, the newest note first; what an older one says is skipped."""

    def __init__(self, anchors: Sequence[Anchor]) -> None:
        self._posts = [_Post(anchor) for anchor in anchors]

    def write(self, origin: str, note: str) -> None:
        """Have every anchor keep `note`; returns at once."""
        for post in self._posts:
            with post.changed:
                post.wanted = (origin, note)
                if post.thread is None or not post.thread.is_alive():
                    post.is_ending = False
                    post.thread = threading.Thread(target=_serve, args=(post,), name="ledger-anchor", daemon=True)
                    post.thread.start()
                post.changed.notify_all()

    def read(self, origin: str) -> list[tuple[str, str]]:
        """(name, note) of each anchor that has one. One that can't be reached is said in `failures` and left out."""
        found: list[tuple[str, str]] = []
        threads = [threading.Thread(target=_read, args=(post, origin, found), daemon=True) for post in self._posts]
        for thread in threads:
            thread.start()
        for post, thread in zip(self._posts, threads, strict=True):
            thread.join(PATIENCE_SECONDS)
            if thread.is_alive():
                _note_failure(post, f"no answer within {PATIENCE_SECONDS:g} s")
        return sorted(found)

    def failures(self) -> dict[str, str]:
        """Of each anchor that lags behind, why."""
        return {post.anchor.name: post.failure for post in self._posts if post.failure is not None}

    def close(self) -> None:
        """Wait until all is written, though not for an anchor that fails or hangs."""
        for post in self._posts:
            with post.changed:
                post.is_ending = True
                post.changed.notify_all()
            if post.thread is not None:
                post.thread.join(PATIENCE_SECONDS)


def _serve(post: _Post) -> None:
    while True:
        with post.changed:
            while post.wanted is None and not post.is_ending:
                post.changed.wait()
            if post.wanted is None:
                return
            origin, note = post.wanted
        try:
            post.anchor.write(origin, note)
        except Exception as error:  # another's code: whatever it raises, the tree grows on
            _note_failure(post, str(error))
            with post.changed:
                if post.is_ending:
                    return
                post.changed.wait(RETRY_SECONDS)
            continue
        post.failure = None
        with post.changed:
            if post.wanted == (origin, note):
                post.wanted = None


def _read(post: _Post, origin: str, found: list[tuple[str, str]]) -> None:
    try:
        note = post.anchor.read(origin)
    except Exception as error:
        _note_failure(post, str(error))
        return
    if note is not None:
        found.append((post.anchor.name, note))


def _note_failure(post: _Post, words: str) -> None:
    if post.failure != words:
        log.warning("anchor_fails", anchor=post.anchor.name, error=words)
    post.failure = words
