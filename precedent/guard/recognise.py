"""What in a text is personal, as far as it can be told by its shape: a pattern finds it, and a checksum proves it where there is one.

Invariant: each pattern begins only where a word begins and repeats without overlap, so that hostile text costs linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from precedent.guard.national_ids import NATIONAL_ID_START, WORD, has_valid_luhn, national_id_at

# Every number that is personal has six digits that stand near each other; most of what is logged has not.
_DIGITS = re.compile(r"\d(?:\D{0,4}\d){5}")

# What each line of a log has: an id, a trace's id, an instant. None of them holds anything that follows, and asking costs ten times this.
_MACHINE = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)")

_EMAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]+@(?:[\w-]+\.)+[^\W\d_][\w-]*[^\W_]")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE)
_CARD_START = re.compile(rf"(?<!{WORD})(?<![.-])(?=[2-6](?:[ -]?\d){{11}})")
_CARD = re.compile(rf"\d(?:[ -]?\d){{11,18}}(?!{WORD}|-|\.\d)")
_IPV4 = re.compile(rf"(?<!{WORD})(?<!\.)\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!{WORD}|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f]*:)[0-9a-f:.]{3,64}(?!\w)", re.IGNORECASE)
# With a country's prefix any grouping; without one only groups that little else is written in: (030) 1234567, 030 1234567, 030/1234567,
# 555-123-4567, 01 99 00 12 34. A date, an amount and a bare number are none of these, unless a word before says so.
_PHONE = re.compile(
    rf"(?<!{WORD})(?<![.:+/-])(?<!\d )(?:(?:\+|00)[1-9](?:[ .()/-]{{0,2}}\d){{6,14}}"
    r"|(?:8[ -]?)?\(0?\d{2,5}\)[ /-]?\d{3,}(?:[ -]\d{2,}){0,3}"
    r"|0[1-9]\d{1,4}[ /]\d{3,}(?:[ -]\d{2,}){0,3}"
    r"|0[1-9]\d{0,3}-\d{3,4}(?:[ -]\d{2,4}){1,2}|0[1-9]\d{0,3}-\d{6,8}"
    r"|0\d(?:[ .-]\d\d){4}"
    rf"|\d{{3}}([-.])\d{{3}}\1\d{{4}})(?!{WORD}|-|\.\d)"
)
_PHONE_WORDS = (
    r"telefon\w*|t[eé]l[eé]phone|tel[eé]fono|tel|phone|t[eé]l|tfno|tlf|fon|mobile?|m[oó]vil|cell|celular|handy|fax|whatsapp|puh|"
    r"numer|call|ring|dzwoni\w*|appele\w*|llám\w*|ligue|bel|电话|手机|電話"
)
_NAMED_PHONE = re.compile(
    rf"(?:\b|(?<=[^\W\d]))(?:{_PHONE_WORDS})[.:]? ?(?:at |is |on |no\.? ?)?(?P<it>\+?\d(?:[ .()/-]{{0,2}}\d){{6,13}})(?!{WORD}|-|[.,]\d)",
    re.IGNORECASE,
)

# A version of four parts is written like an address; the word before it tells.
_VERSION_WORD = re.compile(r"(?:version|release|build|firmware|driver|ver\.?|\bv\.?)[ :=]{0,2}$", re.IGNORECASE)

# Issuers by their first digits, and how long their numbers are (ISO/IEC 7812-1). Of Maestro those from 16 on: shorter ones are written
# like an article's number.
_ISSUED = re.compile(r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|(?:50|5[6-9]|6\d)\d{14,17}")

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


@dataclass(frozen=True, slots=True)
class Personal:
    """A piece of a text, and what it is: e-mail, iban, card, id, ip or phone."""

    kind: str
    start: int
    end: int


def find_personal(text: str) -> list[Personal]:
    """All that is recognised, in order and apart from each other. Cost: linear in the text."""
    if _MACHINE.fullmatch(text):
        return []
    has_digits = _DIGITS.search(text) is not None
    spans = [
        (*span, rank)
        for rank, (_, sign, pattern, span_of) in enumerate(RECOGNISERS)
        if (sign in text if sign else has_digits)
        for match in pattern.finditer(text)
        if (span := span_of(match)) is not None
    ]
    joined: list[tuple[int, int, int]] = []
    for start, end, rank in sorted(spans):
        # What overlaps is one piece, of the kind that is asked for first: no digit is left standing between two readings.
        if joined and start < joined[-1][1]:
            first, last, known = joined.pop()
            joined.append((first, max(last, end), min(known, rank)))
        else:
            joined.append((start, end, rank))
    return [Personal(RECOGNISERS[rank][0], start, end) for start, end, rank in joined]


def has_valid_mod97(iban: str) -> bool:
    """Whether an IBAN in capitals and without spaces has its country's length and its check digits (ISO 7064, MOD 97-10)."""
    if _IBAN_LENGTHS.get(iban[:2]) != len(iban):
        return False
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1


def _whole(found: re.Match[str]) -> tuple[int, int]:
    return found.span("it") if "it" in found.re.groupindex else found.span()


def _iban(found: re.Match[str]) -> tuple[int, int] | None:
    text = found[0]
    end = 0
    for _ in range(_IBAN_LENGTHS.get(text[:2].upper(), 0)):
        while end < len(text) and text[end] in " -":
            end += 1
        end += 1
    follows = text[end : end + 1] or found.string[found.end() : found.end() + 1]
    if follows.isalnum() or not has_valid_mod97(re.sub("[ -]", "", text[:end]).upper()):
        return None
    return found.start(), found.start() + end


def _card(found: re.Match[str]) -> tuple[int, int] | None:
    """A number may be followed by others, such as its month: the longest piece up to a separator that is a card's."""
    text = found.string
    whole = _CARD.match(text, found.start())
    end = whole.end() if whole else 0
    while end > found.start():
        digits = text[found.start() : end].replace(" ", "").replace("-", "")
        if _ISSUED.fullmatch(digits) and has_valid_luhn(digits):
            return found.start(), end
        end = max(text.rfind(sign, found.start(), end) for sign in " -")
    return None


def _national_id(found: re.Match[str]) -> tuple[int, int] | None:
    end = national_id_at(found.string, found.start())
    return None if end is None else (found.start(), end)


def _ip(found: re.Match[str]) -> tuple[int, int] | None:
    # A sentence may go on with a stop or a colon; an address never ends in one, except in "::".
    text = found[0]
    body = text.rstrip(".") if text.rstrip(".").endswith("::") else text.rstrip(".:")
    try:
        ip_address(body)
    except ValueError:
        return None
    before = found.string[max(0, found.start() - 16) : found.start()]
    return None if _VERSION_WORD.search(before) else (found.start(), found.start() + len(body))


# The kind, a sign without which a text holds none (else its digits tell), where it may be, and which piece of that it is.
Recogniser = tuple[str, str, re.Pattern[str], Callable[[re.Match[str]], tuple[int, int] | None]]

RECOGNISERS: tuple[Recogniser, ...] = (
    ("e-mail", "@", _EMAIL, _whole),
    ("iban", "", _IBAN, _iban),
    ("card", "", _CARD_START, _card),
    ("id", "", NATIONAL_ID_START, _national_id),
    ("ip", ":", _IPV6, _ip),
    ("ip", ".", _IPV4, _ip),
    ("phone", "", _PHONE, _whole),
    ("phone", "", _NAMED_PHONE, _whole),
)
