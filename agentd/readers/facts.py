"""Dates and amounts of money in a line of text, told by how they are written. Which matters is not known here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from agentd.readers.sentences import flat

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januar janvier enero gennaio jan",
            "february februar février febrero febbraio feb",
            "march märz mars marzo mar mär",
            "april avril abril aprile apr",
            "may mai mayo maggio",
            "june juni juin junio giugno jun",
            "july juli juillet julio luglio jul",
            "august août agosto aug",
            "september septembre septiembre settembre sep sept",
            "october oktober octobre octubre ottobre oct okt",
            "november novembre noviembre nov",
            "december dezember décembre diciembre dicembre dec dez",
        ),
        start=1,
    )
    for name in names.split()
}
_WORD = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATES = (
    re.compile(r"\b(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})\b"),
    re.compile(r"\b(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>\d{4}|\d{2})\b"),
    re.compile(r"\b(?P<one>\d{1,2})/(?P<two>\d{1,2})/(?P<y>\d{4})\b"),
    re.compile(
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?[\s-]+(?:de\s+|of\s+)?(?P<w>{_WORD})\.?,?"
        r"[\s-]+(?:de\s+)?(?P<y>\d{4})\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?P<w>{_WORD})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}})\b", re.IGNORECASE),
)
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_CURRENCY = r"EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN|CZK|CAD|AUD|INR|€|\$|£|¥"
_NUMBER = r"-?\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+(?:[.,]\d{2})?|-?\d+[.,]\d{2}|-?\d+"
_AMOUNT = re.compile(
    rf"(?:(?P<before>{_CURRENCY})\s?)?(?<![\d.,/-])(?P<number>{_NUMBER})(?![\d/%-]|[.,]\d)"
    rf"(?:\s?(?P<after>{_CURRENCY})(?!\w))?"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a line says, and what to show as its value."""

    values: dict[str, Any]


MOST_OF_NAME = 60  # characters
MOST_WORDS_WITH_STOP = 4
_NUMBER_INSIDE = re.compile(r"\s\W?\d")  # of a house, an invoice or a price; that of "3M" stands first


def find_date(line: str) -> Found | None:
    """The first date in a line, as ISO 8601.

    Where day and month could both be either, the day comes first; in a line with a dollar sign, the month.
    """
    for pattern in _DATES:
        for match in pattern.finditer(line):
            if (found := _date(match.groupdict(), line)) is not None:
                return Found({"value": found.isoformat()})
    return None


def find_amount(line: str) -> Found | None:
    """The last amount of money in a line: its number, and the ISO code of its currency where it is said.

    A number counts that has a currency, or cents.
    """
    amounts = [match for match in _AMOUNT.finditer(line) if _is_money(match)]
    if not amounts:
        return None
    match = amounts[-1]
    sign = match["before"] or match["after"]
    return Found({"value": _number(match["number"]), "currency": _SYMBOLS.get(sign, sign) if sign else None})


def find_line(line: str) -> Found | None:
    """A line that has a word in it."""
    return Found({"value": line}) if re.search(r"[^\W\d_]{2}", line) else None


def find_name(line: str) -> Found | None:
    """A line that may be the name of a person or a firm: short, begun with a capital, no sentence, no address."""
    if len(line) > MOST_OF_NAME or line.endswith((",", ":", ";", "?", "!")) or _NUMBER_INSIDE.search(line):
        return None
    # "Bakers Ltd." is a name, "We thank you for it." is none.
    if line.endswith(".") and len(line.split()) > MOST_WORDS_WITH_STOP:
        return None
    first = re.search(r"[^\W\d_]", line)
    return Found({"value": line}) if first and not first[0].islower() else None


# What a property may be looked for as, and the further values that it has beside `value`.
FINDERS: dict[str, Callable[[str], Found | None]] = {
    **{"date": find_date, "amount": find_amount, "name": find_name, "line": find_line}
}


def candidates(text: str, kind: str) -> list[str]:
    """The lines of a text, white space folded, in which something of this kind is found, each once."""
    lines = dict.fromkeys(flat(line) for line in text.split("\n"))
    return [line for line in lines if line and FINDERS[kind](line)]


def _date(parts: dict[str, str | None], line: str) -> date | None:
    year = int(parts["y"] or 0)
    if year < 100:
        year += 2000
    if word := parts.get("w"):
        month, day = _MONTHS[word.lower()], int(parts["d"] or 0)
    elif parts.get("one"):
        day, month = int(parts["one"] or 0), int(parts["two"] or 0)
        if month > 12 or ("$" in line and day <= 12):
            day, month = month, day
    else:
        month, day = int(parts["m"] or 0), int(parts["d"] or 0)
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found if 1900 <= year <= 2100 else None


def _is_money(match: re.Match[str]) -> bool:
    return bool(match["before"] or match["after"] or re.search(r"[.,]\d{2}$", match["number"]))


def _number(text: str) -> float:
    cents = re.search(r"[.,](\d{2})$", text)
    whole = text[: cents.start()] if cents else text
    sign = -1 if whole.startswith("-") else 1
    return sign * float(f"{re.sub(r'[^0-9]', '', whole) or '0'}.{cents[1] if cents else '0'}")
