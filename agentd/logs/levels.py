"""How serious a line says it is: many words, letters and numbers, and seven names for them.

What a message suggests without naming a level is not known here.
"""

# Syslog's severities, 0 to 7 (RFC 5424, table 2). The first three are one to us: programs do not agree on them.
_SEVERITIES = ("fatal", "fatal", "fatal", "error", "warn", "notice", "info", "debug")
# What bunyan and pino write, and the loggers that took after them.
_TENS = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}

_WORDS = {
    "fatal": ("fatal", "critical", "crit", "emergency", "emerg", "panic", "alert"),
    "error": ("error", "err", "severe"),
    "warn": ("warning", "warn"),
    "notice": ("notice",),
    # LOG is PostgreSQL's, and so are the five that explain an error, which has a line of its own.
    "info": ("information", "info", "config", "log", "statement", "detail", "hint", "context", "location"),
    "debug": ("debug", "debug1", "debug2", "debug3", "debug4", "debug5", "fine"),
    "trace": ("trace", "verbose", "finer", "finest"),
}
_LETTERS = {"f": "fatal", "e": "error", "w": "warn", "n": "notice", "i": "info", "d": "debug", "t": "trace"} | {
    "a": "fatal",  # Android's "assert"
    "v": "trace",
}
_LEVELS = {word: level for level, words in _WORDS.items() for word in words} | _LETTERS

# Words that stand for a level even where nothing sets them off; a sentence may begin with any of the others.
_PLAIN = (
    *("fatal", "critical", "crit", "severe", "error", "err", "warning", "warn"),
    *("notice", "info", "debug", "trace", "verbose"),
)


def _any_of(words: list[str]) -> str:
    # The longer word first: "err" would be found in "error".
    return "|".join(sorted(words, key=len, reverse=True))


# As regexes. The first is for places where only a level can stand, the second for the beginning of a text.
WORD = f"(?i:{_any_of([word for words in _WORDS.values() for word in words])})"
PLAIN = f"(?:{_any_of([form for word in _PLAIN for form in (word, word.upper())])})"


def of_word(word: str) -> str:
    """The level that a word or a letter means: "SEVERE" is "error"; "" where it means none."""
    return _LEVELS.get(word.lower(), "")


def of_priority(priority: int) -> str:
    """The level in a syslog priority, facility × 8 + severity: 34 is "fatal"."""
    return _SEVERITIES[priority % 8]


def of_number(number: int) -> str:
    """The level that a number in a record means: 50 is "error", and so is syslog's 3; "" where it means none."""
    if 0 <= number < len(_SEVERITIES):
        return _SEVERITIES[number]
    return _TENS.get(number, "")


def of_status(status: str) -> str:
    """The level of an HTTP answer: "502" is "error", the server's fault, and "404" "warn", the client's."""
    return {"5": "error", "4": "warn"}.get(status[:1], "info")
