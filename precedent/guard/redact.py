"""The one place where personal values are taken out of text that leaves: logs, messages, error texts.

It knows the shapes of e-mail addresses, phone numbers, payment cards, IBANs and IP addresses, and trusts a checksum where
there is one. Names of people and street addresses have no shape: fields that hold those are declared and dropped whole.
Invariant: when the redactor fails, the text is dropped, not passed on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import date
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

FAILED = "[redacted: redactor failed]"
PERSONAL = "[personal]"
SECRET = "[secret]"  # noqa: S105

SECRET_NAMES = frozenset({"authorization", "cookie", "set_cookie", "password", "secret", "token", "api_key", "x_internal_token"})

# Every pattern begins only where a word begins and repeats without overlap, so that hostile text costs linear time.
_EMAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]+@(?:[\w-]+\.)+[^\W\d_][\w-]*[^\W_]")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f]*:)[0-9a-f:.]{3,64}(?!\w)", re.IGNORECASE)
# With a country's prefix any grouping; without one only groups that nothing else is written in: (030) 1234567,
# 030 1234567, 030/1234567, 555-123-4567. A date, an amount and a bare number are none of these.
_PHONE = re.compile(
    r"(?<![\w.:+/-])(?:(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){6,14}"
    r"|\(0?\d{2,5}\)[ /-]?\d{3,}(?:[ -]\d{2,}){0,3}"
    r"|0\d{2,5}[ /]\d{3,}(?:[ -]\d{2,}){0,3}"
    r"|\d{3}-\d{3}-\d{4})(?![\w-]|\.\d)",
)

# Lengths by country, of the registry of ISO 13616: with them the end of a number is known, and words after it stay.
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}


def redact_text(text: str) -> str:
    """The text with every personal value it recognises replaced by its kind: `[e-mail]`, `[iban]`, `[card]`, `[ip]`, `[phone]`."""
    try:
        for pattern, replace in _RECOGNISERS:
            text = pattern.sub(replace, text)
    except Exception:
        return FAILED
    return text


def redact_fields(fields: Mapping[str, Any], personal_names: Collection[str]) -> dict[str, Any]:
    """A copy in which values under a personal name are dropped at any depth, and all other text is redacted."""
    return {name: PERSONAL if name in personal_names else _redact(value, personal_names) for name, value in fields.items()}


def redact_event(logger: Any, name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: values under a secret's name are dropped, all text is redacted. Cost: some 20 µs a line.

    Its place is after tracebacks became text and before the renderer.
    """
    try:
        return {key: SECRET if key.lower().replace("-", "_") in SECRET_NAMES else _redact(value, ()) for key, value in event_dict.items()}
    except Exception:
        return {"event": FAILED}


def _redact(value: Any, personal_names: Collection[str]) -> Any:
    if value is None or isinstance(value, (bool, int, float, Decimal, UUID, date)):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return redact_fields(value, personal_names)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_redact(item, personal_names) for item in value]
    # An exception or any other object: what it says of itself may hold anything.
    try:
        return redact_text(str(value))
    except Exception:
        return FAILED


def has_valid_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def has_valid_mod97(iban: str) -> bool:
    """Whether an IBAN in capitals and without spaces has its country's length and its check digits (ISO 7064, MOD 97-10)."""
    if _IBAN_LENGTHS.get(iban[:2]) != len(iban):
        return False
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1


def _replace_iban(found: re.Match[str]) -> str:
    text = found[0]
    length = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    end = 0
    for _ in range(length):
        while end < len(text) and text[end] == " ":
            end += 1
        end += 1
    iban = text[:end].replace(" ", "").upper()
    follows = text[end : end + 1] or found.string[found.end() : found.end() + 1]
    return "[iban]" + text[end:] if has_valid_mod97(iban) and not follows.isalnum() else text


def _replace_card(found: re.Match[str]) -> str:
    digits = re.sub(r"[ -]", "", found[0])
    return "[card]" if has_valid_luhn(digits) else found[0]


def _replace_ip(found: re.Match[str]) -> str:
    # A sentence may go on with a stop or a colon; an address never ends in one, except in "::".
    text = found[0]
    body = text.rstrip(".") if text.rstrip(".").endswith("::") else text.rstrip(".:")
    try:
        ip_address(body)
    except ValueError:
        return text
    return "[ip]" + text[len(body) :]


_RECOGNISERS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_EMAIL, "[e-mail]"),
    (_IBAN, _replace_iban),
    (_CARD, _replace_card),
    (_IPV6, _replace_ip),
    (_IPV4, _replace_ip),
    (_PHONE, "[phone]"),
)
