"""Numbers by which states know people: their shapes, and the rule by which each proves itself.

A number is believed where its country's rule holds. Where that rule is weak, or there is none, and the shape is that of a thousand other
numbers, a word such as "BSN" must stand before it as well. Sources: each scheme's public specification, named where it is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
HETU_SIGNS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
CURP_SIGNS = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
# Codice fiscale (DM 23-12-1976): what a sign at an odd place counts; at an even one it counts itself.
CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)
# Verhoeff's dihedral group of ten, and his permutation, which is applied once more at each place.
_DIHEDRAL = [[(a + b) % 5 if a < 5 and b < 5 else 5 + (a + b) % 5 if a < 5 else 5 + (a - b) % 5 if b < 5 else (a - b) % 5
              for b in range(10)] for a in range(10)]  # fmt: skip
_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


@dataclass(frozen=True, slots=True)
class Scheme:
    """One country's number in one writing. `is_valid` takes it in capitals, without spaces and marks."""

    country: str
    shape: str
    is_valid: Callable[[str], bool]
    words: str = ""  # a pattern of which one must stand before; none where the rule alone is believed


def has_valid_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _weighted(digits: str, *weights: int) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _is_date(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def is_us_ssn(number: str) -> bool:
    """Social Security number, or ITIN (area 9, groups 50–99): no check digit, but areas, groups and serials that are never given."""
    area, group, serial = number[:3], int(number[3:5]), number[5:]
    return area not in ("000", "666") and group > 0 and serial != "0000" and (area < "900" or group >= 50)


def is_uk_nhs(number: str) -> bool:
    """NHS number: modulus 11 over nine digits (NHS Data Dictionary)."""
    return (11 - _weighted(number, 10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11 == int(number[9]) if len(set(number)) > 1 else False


def is_uk_nino(number: str) -> bool:
    """National Insurance number: prefixes that are never given are refused, but QQ, which documents print as an example."""
    return number[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def is_de_tax(number: str) -> bool:
    """Steuer-ID (§ 139b AO): one digit of the first ten comes two or three times, and ISO 7064 MOD 11,10 holds."""
    counts = sorted(number[:10].count(digit) for digit in set(number[:10]))
    if number[0] == "0" or counts[-1] not in (2, 3) or (len(counts) > 1 and counts[-2] != 1):
        return False
    product = 10
    for digit in number[:10]:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[10])


def is_fr_nir(number: str) -> bool:
    """NIR (INSEE): the key is 97 − number mod 97; Corsica's departments count as 19 and 18."""
    digits = number.replace("2A", "19").replace("2B", "18") if number[5:7] in ("2A", "2B") else number
    return digits.isdigit() and 97 - int(digits[:13]) % 97 == int(digits[13:])


def is_es_dni(number: str) -> bool:
    """DNI and NIE: the letter is the number mod 23; X, Y, Z count as 0, 1, 2."""
    return DNI_LETTERS[int(number[:-1].translate({88: "0", 89: "1", 90: "2"})) % 23] == number[-1]


def is_it_cf(number: str) -> bool:
    """Codice fiscale: the last letter is the sum of odd and even places mod 26 (DM 23-12-1976)."""
    total = sum(CF_ODD[sign] if place % 2 == 0 else int(sign, 36) - (0 if sign.isdigit() else 10) for place, sign in enumerate(number[:15]))
    return chr(65 + total % 26) == number[15]


def is_nl_bsn(number: str) -> bool:
    """Burgerservicenummer: the eleven test, with −1 for the last digit."""
    return number != "000000000" and _weighted(number, 9, 8, 7, 6, 5, 4, 3, 2, -1) % 11 == 0


def is_pl_pesel(number: str) -> bool:
    """PESEL: a date whose month tells the century too, and a check digit of weights 1, 3, 7, 9."""
    return _is_date(str(int(number[2:4]) % 20), number[4:6]) and _weighted(number, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1) % 10 == 0


def is_br_cpf(number: str) -> bool:
    """CPF: two check digits of modulus 11 (Receita Federal); a digit eleven times is none."""
    first = _weighted(number, *range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(number, *range(11, 1, -1)) * 10 % 11 % 10
    return len(set(number)) > 1 and number[9:] == f"{first}{second}"


def is_in_aadhaar(number: str) -> bool:
    """Aadhaar: Verhoeff's check digit (UIDAI), and no 0 or 1 in front."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = _PERMUTATION[value]
        total = _DIHEDRAL[total][value]
    return number[0] > "1" and total == 0


def is_se_personnummer(number: str) -> bool:
    """Personnummer, and samordningsnummer with 60 added to the day: a date and Luhn over the last ten digits (Skatteverket)."""
    last = number[-10:]
    return _is_date(last[2:4], str(int(last[4:6]) % 60)) and has_valid_luhn(last)


def is_fi_hetu(number: str) -> bool:
    """Henkilötunnus: a date, and a sign that is the nine digits mod 31."""
    digits = number[:6] + number[-4:-1]
    return _is_date(number[2:4], number[:2]) and HETU_SIGNS[int(digits) % 31] == number[-1]


def is_no_fnr(number: str) -> bool:
    """Fødselsnummer, D-number (day + 40) and synthetic one (month + 40 or 80): a date and two check digits of modulus 11."""
    first = (11 - _weighted(number, 3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = (11 - _weighted(number, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return _is_date(str(int(number[2:4]) % 40), str(int(number[:2]) % 40)) and number[9:] == f"{first}{second}"


def is_dk_cpr(number: str) -> bool:
    """CPR: a date; its check digit has been given up in 2007."""
    return _is_date(number[2:4], number[:2])


def is_be_nrn(number: str) -> bool:
    """Rijksregisternummer: 97 − nine digits mod 97, with a 2 before them for who was born after 1999."""
    return _is_date(number[2:4], number[4:6]) and int(number[9:]) in (97 - int(number[:9]) % 97, 97 - int("2" + number[:9]) % 97)


def is_ch_ahv(number: str) -> bool:
    """AHV number: the check digit of EAN-13."""
    return _weighted(number, *(1, 3) * 6, 1) % 10 == 0


def is_tr_kimlik(number: str) -> bool:
    """T.C. kimlik numarası: two check digits."""
    digits = [int(digit) for digit in number]
    return digits[0] > 0 and (7 * sum(digits[:9:2]) - sum(digits[1:8:2])) % 10 == digits[9] and sum(digits[:10]) % 10 == digits[10]


def is_pt_nif(number: str) -> bool:
    """NIF: modulus 11."""
    return (11 - _weighted(number, 9, 8, 7, 6, 5, 4, 3, 2) % 11) % 11 % 10 == int(number[8])


def is_au_tfn(number: str) -> bool:
    """Tax file number: weights 1, 4, 3, 7, 5, 8, 6, 9, 10, modulus 11."""
    return _weighted(number, 1, 4, 3, 7, 5, 8, 6, 9, 10) % 11 == 0


def is_cn_id(number: str) -> bool:
    """Resident identity number (GB 11643-1999): a date, and ISO 7064 MOD 11-2."""
    total = _weighted(number, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return _is_date(number[10:12], number[12:14]) and "10X98765432"[total % 11] == number[17]


def is_kr_rrn(number: str) -> bool:
    """Resident registration number: a date and a check digit, which those given since October 2020 no longer have."""
    return _is_date(number[2:4], number[4:6]) and (11 - _weighted(number, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5) % 11) % 10 == int(number[12])


def is_za_id(number: str) -> bool:
    """Identity number: a date and Luhn."""
    return _is_date(number[2:4], number[4:6]) and has_valid_luhn(number)


def is_cl_rut(number: str) -> bool:
    """RUT: modulus 11, weights 2 to 7 from the right, K for ten."""
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(number[:-1])))
    return "0123456789K0"[11 - total % 11] == number[-1]


def is_mx_curp(number: str) -> bool:
    """CURP: a date, and a check digit of weights 18 to 2."""
    total = sum(CURP_SIGNS.index(sign) * (18 - place) for place, sign in enumerate(number[:17]))
    return _is_date(number[6:8], number[8:10]) and str((10 - total % 10) % 10) == number[17]


SCHEMES = (
    Scheme("FR", r"[1-478] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", is_fr_nir),
    Scheme("CN", r"\d{6}(?:18|19|20)\d{9}[\dX]", is_cn_id),
    Scheme("MX", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", is_mx_curp),
    Scheme("IT", r"[A-Z]{3} ?[A-Z]{3} ?[\dL-NP-V]{2}[A-EHLMPR-T][\dL-NP-V]{2} ?[A-Z][\dL-NP-V]{3}[A-Z]", is_it_cf),
    Scheme("CH", r"756\.?\d{4}\.?\d{4}\.?\d\d", is_ch_ahv),
    Scheme("KR", r"\d{6}-[1-8]\d{6}", is_kr_rrn),
    Scheme("ZA", r"\d{6} ?\d{4} ?[01]\d\d", is_za_id),
    Scheme("SE", r"(?:19|20)?\d{6}[-+]\d{4}", is_se_personnummer),
    Scheme("SE", r"(?:19|20)\d{10}|\d{10}", is_se_personnummer, r"person ?n(?:umme)?r|samordnings"),
    Scheme("FI", r"\d{6}[-+A-FU-Y]\d{3}[\dA-FHJ-NPR-Y]", is_fi_hetu),
    Scheme("BE", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", is_be_nrn),
    Scheme("BR", r"\d{3}\.\d{3}\.\d{3}-\d\d", is_br_cpf),
    Scheme("NO", r"\d{6} \d{5}", is_no_fnr),
    Scheme("DE", r"\d\d ?\d{3} ?\d{3} ?\d{3}", is_de_tax),
    *(Scheme(country, r"\d{11}", rule) for country, rule in
      {"PL": is_pl_pesel, "BR": is_br_cpf, "NO": is_no_fnr, "TR": is_tr_kimlik, "BE": is_be_nrn}.items()),
    Scheme("IN", r"[2-9]\d{3}(?: \d{4} |-\d{4}-)\d{4}", is_in_aadhaar),
    Scheme("IN", r"\d{12}", is_in_aadhaar, r"a+dh?aa?r|uidai|आधार"),
    Scheme("US", r"\d{3}(?: \d\d |-\d\d-)\d{4}", is_us_ssn),
    Scheme("US", r"\d{9}", is_us_ssn, r"ssn|social|itin"),
    Scheme("GB", r"\d{3} \d{3} \d{4}", is_uk_nhs),
    Scheme("GB", r"\d{3}-?\d{3}-?\d{4}", is_uk_nhs, r"nhs"),
    Scheme("GB", r"(?:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]|QQ) ?\d\d ?\d\d ?\d\d ?[A-D]", is_uk_nino),
    Scheme("DK", r"\d{6}-?\d{4}", is_dk_cpr, r"cpr|personnummer"),
    Scheme("ES", r"(?:[XYZ][- ]?\d{7}|\d{8}|\d\d\.\d{3}\.\d{3})[- ]?[A-HJ-NP-TV-Z]", is_es_dni),
    Scheme("NL", r"\d{4}\.?\d\d\.?\d{3}|\d{3} \d{3} \d{3}", is_nl_bsn, r"bsn|burgerservice|sofi"),
    Scheme("CA", r"\d{3}-\d{3}-\d{3}", has_valid_luhn),
    Scheme("CA", r"\d{3} ?\d{3} ?\d{3}", has_valid_luhn, r"\bsin\b|\bnas\b|social insurance|assurance sociale"),
    Scheme("PT", r"\d{3} ?\d{3} ?\d{3}", is_pt_nif, r"nif|contribuinte"),
    Scheme("AU", r"\d{3} ?\d{3} ?\d{3}", is_au_tfn, r"tfn|tax file"),
    Scheme("CL", r"\d{1,2}\.\d{3}\.\d{3}-[\dK]", is_cl_rut),
    Scheme("CL", r"\d{7,8}-[\dK]", is_cl_rut, r"rut|run\b"),
)  # fmt: skip


def national_id_at(text: str, start: int) -> int | None:
    """The end of the longest number that begins at `start` and is believed; None where none is."""
    ends = [found.end() for scheme, pattern in _PATTERNS if (found := pattern.match(text, start)) and _is_believed(scheme, found)]
    return max(ends, default=None)


def _is_believed(scheme: Scheme, found: re.Match[str]) -> bool:
    if not scheme.is_valid(found[0].upper().translate(_MARKS)):
        return False
    before = found.string[max(0, found.start() - WORD_REACH_CHARACTERS) : found.start()]
    return not scheme.words or re.search(scheme.words, before, re.IGNORECASE) is not None


WORD_REACH_CHARACTERS = 32  # how far before a number the word may stand that says what it is
_MARKS = str.maketrans("", "", " .-+")
# A sign of a word, but for those of scripts that leave no space between a word and a number.
WORD = r"[^\W\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
_END = rf"(?!{WORD}|-\w|[.,/]\d)"
_PATTERNS = tuple((scheme, re.compile(scheme.shape + _END, re.IGNORECASE)) for scheme in SCHEMES)
# Where one may begin: of no width, so that what begins inside of a number that is none is seen too.
NATIONAL_ID_START = re.compile(
    rf"(?<!{WORD})(?<!\+)(?<!\d[.,/-])(?=(?:{'|'.join(dict.fromkeys(scheme.shape for scheme in SCHEMES))}){_END})", re.IGNORECASE
)
