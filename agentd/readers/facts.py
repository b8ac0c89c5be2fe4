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
# Where the day may come first or the month.
_EITHER = re.compile(r"(?<![\w/.-])(?P<one>\d{1,2})(?P<sign>[/-])(?P<two>\d{1,2})(?P=sign)(?P<y>\d{4})(?![\w/-])")
_DOLLARS = re.compile(r"\$|\bUSD\b")
_DATES = (
    re.compile(r"\b(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})\b"),
    re.compile(r"(?<![\w/.-])(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})(?![\w/-])"),
    re.compile(r"\b(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>\d{4}|\d{2})\b"),
    _EITHER,
    re.compile(
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?[\s-]+(?:de\s+|of\s+)?(?P<w>{_WORD})\.?,?"
        r"[\s-]+(?:de\s+)?(?P<y>\d{4})\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?P<w>{_WORD})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}})\b", re.IGNORECASE),
)
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_CURRENCY = r"EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN|CZK|CAD|AUD|INR|€|\$|£|¥"
_NUMBER = r"[-−]?(?:\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+(?:[.,]\d{2})?|\d+[.,]\d{2}|\d+)"
_AMOUNT = re.compile(
    rf"(?:(?P<minus>(?<!\w)[-−])?(?P<before>{_CURRENCY})\s?)?"
    rf"(?<![\d.,/−-])(?P<number>{_NUMBER})(?![\d/%-]|[.,]\d)"
    rf"(?:\s?(?P<after>{_CURRENCY})(?!\w))?"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a line says, and what to show as its value."""

    values: dict[str, Any]


MOST_OF_NAME = 60  # characters
MOST_WORDS_WITH_STOP = 4
_LABEL = re.compile(
    r"(?:from|sender|to|cc|reply-to|von|absender|an|de|expéditeur|à|da|mittente|remitente|para|van|aan)\s*:\s*",
    re.IGNORECASE,
)
_MAIL = re.compile(r"\s*(?:<[^<>]*>|[\[(][^\s()\[\]]+@[^\s()\[\]]+[\])])")
_NUMBER_INSIDE = re.compile(r"\s\W?\d")  # of a house, an invoice or a price; that of "3M" stands first


def find_date(line: str, text: str = "") -> Found | None:
    """The first date in a line of a text, as ISO 8601.

    Where day and month could both be either, the order is that of the other dates in the text. Where these do not
    tell, the day comes first; in a text that speaks of dollars, the month.
    """
    matches = (match for pattern in _DATES for match in pattern.finditer(line))
    for match in sorted(matches, key=lambda match: match.start()):
        month_first = "one" in match.groupdict() and _is_month_first(text or line)
        if (found := _date(match.groupdict(), month_first=month_first)) is not None:
            return Found({"value": found.isoformat()})
    return None


def find_amount(line: str, text: str = "") -> Found | None:
    """The last amount of money in a line: its number, and the ISO code of its currency where it is said.

    A number counts that has a currency, or cents.
    """
    amounts = [match for match in _AMOUNT.finditer(line) if _is_money(match)]
    if not amounts:
        return None
    match = amounts[-1]
    sign = match["before"] or match["after"]
    value = -_number(match["number"]) if match["minus"] else _number(match["number"])
    return Found({"value": value, "currency": _SYMBOLS.get(sign, sign) if sign else None})


def find_line(line: str, text: str = "") -> Found | None:
    """A line that has a word in it."""
    return Found({"value": line}) if re.search(r"[^\W\d_]{2}", line) else None


def find_name(line: str, text: str = "") -> Found | None:
    """A line that may be the name of a person or a firm: short, begun with a capital, no sentence, no address.

    A label such as `From:` and the address for e-mail after the name are no part of it.
    """
    label = _LABEL.match(line)
    said = line[label.end() :] if label else line
    name = _MAIL.sub("", said).strip(" \"'") or said.strip(" <>")
    if len(name) > MOST_OF_NAME or name.endswith((",", ":", ";", "?", "!")) or _NUMBER_INSIDE.search(name):
        return None
    # "Bakers Ltd." is a name, "We thank you for it." is none.
    if name.endswith(".") and len(name.split()) > MOST_WORDS_WITH_STOP:
        return None
    first = re.search(r"[^\W\d_]", name)
    return Found({"value": name}) if first and (label or not first[0].islower()) else None


# What a property may be looked for as, and the values that it has beside `value`. Each takes a line and the
# text that it stands in.
FINDERS: dict[str, Callable[[str, str], Found | None]] = {
    **{"date": find_date, "amount": find_amount, "name": find_name, "line": find_line}
}


def candidates(text: str, kind: str) -> list[str]:
    """The lines of a text, white space folded, in which something of this kind is found, each once."""
    lines = dict.fromkeys(flat(line) for line in text.split("\n"))
    return [line for line in lines if line and FINDERS[kind](line, "")]


def _is_month_first(text: str) -> bool:
    """Whether the month comes first in the dates of a text that name it by its number."""
    pairs = [(int(match["one"]), int(match["two"])) for match in _EITHER.finditer(text)]
    day_first = any(one > 12 >= two for one, two in pairs)
    month_first = any(two > 12 >= one for one, two in pairs)
    return month_first if day_first != month_first else bool(_DOLLARS.search(text))


def _date(parts: dict[str, str | None], *, month_first: bool) -> date | None:
    year = int(parts["y"] or 0)
    if year < 100:
        year += 2000
    if word := parts.get("w"):
        month, day = _MONTHS[word.lower()], int(parts["d"] or 0)
    elif parts.get("one"):
        day, month = int(parts["one"] or 0), int(parts["two"] or 0)
        if month > 12 or (month_first and day <= 12):
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
    sign = -1 if whole.startswith(("-", "−")) else 1
    return sign * float(f"{re.sub(r'[^0-9]', '', whole) or '0'}.{cents[1] if cents else '0'}")
