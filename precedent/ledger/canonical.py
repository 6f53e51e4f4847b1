"""One byte string for each value we record (RFC 8785, restricted), and one strict reader for JSON from outside.

What we make holds null, bool, int within ±(2^53−1), string, list and object with printable-ASCII keys; never a float. In that
profile orjson with sorted keys writes the bytes of RFC 8785 (checked against the `rfc8785` package), some 60 times faster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import jiter
import orjson

from precedent.errors import NotCanonical, NotStrictJson

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 32
# PostgreSQL's numeric ends at 131,072 digits before the point; nothing that a business counts comes near this.
MAX_EXPONENT = 400
MAX_NUMBER_CHARS = 4300  # as for integers, where Python itself draws the line

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
# More at once would be written over memory that is taken from the system and given back each time, at twice the price.
_AT_ONCE = 128
_other_escape = re.compile(rb"\\[^\"\\]").search


def canonical_bytes(value: object) -> bytes:
    """The one UTF-8 byte string of `value`.

    Raises: NotCanonical for a float, an integer beyond ±(2^53−1), a key that is not printable ASCII, a lone surrogate, or
    any type that JSON has not.
    """
    _require_canonical(value)
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise NotCanonical(f"couldn't write canonical JSON: {error}") from error


def is_canonical(stored: bytes) -> bool:
    """Whether these are the very bytes that `canonical_bytes` writes of some value."""
    try:
        value = _parse(stored)
        if not _has_plain_keys(stored):
            _require_canonical(value)
        return orjson.dumps(value, option=_OPTIONS) == stored
    except (NotCanonical, ValueError, TypeError, RecursionError):
        return False


def are_canonical(texts: Sequence[bytes]) -> bool:
    """Whether each is the canonical text of some object. Many at once take half the time that each takes alone."""
    return all(_are_canonical(texts[at : at + _AT_ONCE]) for at in range(0, len(texts), _AT_ONCE))


def _are_canonical(texts: Sequence[bytes]) -> bool:
    joined = b"[" + b",".join(texts) + b"]"
    try:
        values = _parse(joined)
        # Each is written back by itself: a text that ends in the middle of a value is none, whatever its neighbour begins with.
        if not set(map(type, values)) <= {dict} or [orjson.dumps(value, option=_OPTIONS) for value in values] != list(texts):
            return False
        if not _has_plain_keys(joined):
            for value in values:
                _require_canonical(value)
    except (NotCanonical, ValueError, TypeError, RecursionError):
        return False
    return True


def _parse(text: bytes) -> Any:
    """A number with a fraction or an exponent comes as `Decimal`, which orjson refuses to write: to look for floats by walking the
    value took as long as parsing it, by searching the text four fifths of that.
    """
    try:
        return jiter.from_json(text, allow_inf_nan=False, cache_mode="keys", float_mode="decimal")
    except ValueError:  # it goes 200 levels deep; what we write may go a little deeper
        value = orjson.loads(text)
        _require_canonical(value)
        return value


_SCALARS = frozenset({str, int, bool, type(None)})
_known_keys: set[str] = set()  # keys that passed; they are few, being our own member names and the facts of policies
_KNOWN_KEYS_LIMIT = 10_000


def _has_plain_keys(text: bytes) -> bool:
    """Whether the bytes alone tell that every key is printable ASCII: by having no escape but those of a quote and a backslash."""
    return text.isascii() and b"\x7f" not in text and not _other_escape(text)


def _require_canonical(value: object) -> None:
    """Types and keys; integers' range and surrogates are orjson's to refuse. One loop: a call a value took four times as long."""
    if type(value) in _SCALARS:
        return
    containers: list[Any] = [value]
    while containers:
        items = containers.pop()
        if type(items) is dict:
            for key in items:
                if key not in _known_keys:
                    _require_key(key)
            items = items.values()
        elif type(items) is not list:
            raise NotCanonical(f"couldn't write canonical JSON: {type(items).__name__} has no place in it")
        for item in items:
            if type(item) not in _SCALARS:
                containers.append(item)


def _require_key(key: object) -> None:
    if type(key) is not str or not (key.isascii() and key.isprintable()):
        raise NotCanonical(f"a key must be printable ASCII, not {key!r}")
    if len(_known_keys) < _KNOWN_KEYS_LIMIT:
        _known_keys.add(key)


def parse_strict(raw: bytes | str) -> Any:
    """The value of a JSON text; numbers with a fraction or an exponent come as `Decimal`, exactly as written.

    Raises: NotStrictJson for broken JSON, duplicate keys, NaN and Infinity, depth beyond 32, numbers beyond 1e400, NUL
    characters and lone surrogates (PostgreSQL's text holds neither).
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise NotStrictJson(f"not UTF-8: byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        raise NotStrictJson(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise NotStrictJson(f"deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise NotStrictJson("a number of more digits than make sense") from error
    # Both checks walk the whole value, so they run only where the text gives a reason.
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(value):
        raise NotStrictJson(f"deeper than {MAX_DEPTH} levels")
    if "\\u" in text:
        _require_storable(value)
    return value


def member_texts(text: str) -> dict[str, str]:
    """The members of a JSON object, each as the very text that was received; call it on what `parse_strict` accepted."""
    texts: dict[str, str] = {}
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] == '"':
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)
        _, end = _SCAN(text, at)
        texts[key] = text[at:end]
        at = _skip(text, end)
        if text[at] != ",":
            break
        at = _skip(text, at + 1)
    return texts


def element_texts(text: str) -> list[str]:
    """The elements of a JSON array, likewise."""
    texts: list[str] = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "]":
        _, end = _SCAN(text, at)
        texts.append(text[at:end])
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return texts


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotStrictJson(f"the key '{key[:80]}' stands twice in one object")
            seen.add(key)
    return found


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_CHARS:
        raise NotStrictJson("a number of more digits than make sense")
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise NotStrictJson(f"not a number: {text[:40]}") from error
    if abs(value.adjusted()) > MAX_EXPONENT:
        raise NotStrictJson(f"a number beyond 1e{MAX_EXPONENT}: {text[:40]}")
    return value


def _constant(text: str) -> Any:
    raise NotStrictJson(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_decimal, parse_constant=_constant)
# Only for where a value ends, in a text that `_DECODER` accepted: what it makes of the value is thrown away, so it makes it plainly.
_SCAN: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def _is_too_deep(value: object) -> bool:
    """Level by level: in a body of many elements a call each took three times as long."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for held in level for item in (held.values() if type(held) is dict else held if type(held) is list else ())]
    return any(isinstance(item, dict | list) for item in level)


def _require_storable(value: object) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise NotStrictJson("a string holds a NUL character or half of a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_storable(key)
            _require_storable(item)
    elif isinstance(value, list):
        for item in value:
            _require_storable(item)
