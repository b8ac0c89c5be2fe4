"""Dates and amounts, as people write them."""

import pytest

from agentd.readers.facts import candidates, find_amount, find_date, find_line, find_name

DATES = [
    ("Invoice date: 5 January 2026", "2026-01-05"),
    ("Rechnungsdatum 05.01.2026", "2026-01-05"),
    ("am 5.1.26", "2026-01-05"),
    ("2026-01-05T10:00", None),
    ("Date 2026-01-05.", "2026-01-05"),
    ("13/02/2026", "2026-02-13"),
    ("02/13/2026", "2026-02-13"),
    ("01/02/2026", "2026-02-01"),
    ("01/02/2026 $5.00", "2026-01-02"),
    ("Jan. 5, 2026", "2026-01-05"),
    ("5. März 2025", "2025-03-05"),
    ("3rd of May 2026", "2026-05-03"),
    ("le 3 août 2026", "2026-08-03"),
    ("5 de enero de 2026", "2026-01-05"),
    ("99.99.2026, then 1.2.2026", "2026-02-01"),
    ("version 1.2.3", None),
    ("31 February 2026", None),
    ("in 2026", None),
]


@pytest.mark.parametrize(("line", "value"), DATES)
def test_a_date_is_found_as_people_write_it(line: str, value: str | None) -> None:
    found = find_date(line)
    assert (found.values["value"] if found else None) == value


AMOUNTS = [
    ("Total: $1,234.50", 1234.5, "USD"),
    ("Summe 1.234,50 €", 1234.5, "EUR"),
    ("Amount due EUR 99", 99.0, "EUR"),
    ("Total 42.00", 42.0, None),
    ("1'250.00 CHF", 1250.0, "CHF"),
    ("2 x 3,50 = 7,00", 7.0, None),
    ("VAT 19% 7.98", 7.98, None),
    ("Refund -5.00 EUR", -5.0, "EUR"),
    ("£12.99 and £1", 1.0, "GBP"),
]


@pytest.mark.parametrize(("line", "value", "currency"), AMOUNTS)
def test_an_amount_is_the_last_one_with_its_currency(line: str, value: float, currency: str | None) -> None:
    found = find_amount(line)
    assert found
    assert found.values == {"value": value, "currency": currency}


@pytest.mark.parametrize(
    "line", ["Order 12345", "page 3", "19 %", "2026-01-05", "tel. 040-123.45.67", "", "-- 12 --"]
)
def test_other_numbers_are_no_money(line: str) -> None:
    assert find_amount(line) is None


def test_lines_in_which_something_is_found_are_candidates_each_once() -> None:
    text = "Invoice\n  5 May 2026 \n5 May  2026\nTotal 5.00\n--\n"
    assert candidates(text, "date") == ["5 May 2026"]
    assert candidates(text, "amount") == ["Total 5.00"]
    assert candidates(text, "line") == ["Invoice", "5 May 2026", "Total 5.00"]
    assert find_line("-- 3 --") is None


NAMES = [
    "Nordlicht Energie GmbH",
    "Maria Keller",
    "3M",
    "1&1 Telecom",
    "Bakers & Sons Ltd.",
    "Dr. Ada Example",
    "株式会社",
]
OTHERS = [
    *(
        "Lindenweg 5, Bern",
        "Invoice 2026-1187",
        "Dear Jonas,",
        "Thank you!",
        "Total amount: $5",
        "two rolls",
        "---",
    ),
    *(
        "We thank you for your order.",
        "Please pay within fourteen days to the account that is given below, without costs",
    ),
]


@pytest.mark.parametrize("line", NAMES)
def test_a_line_that_may_be_a_name_is_found(line: str) -> None:
    found = find_name(line)
    assert found
    assert found.values == {"value": line}


@pytest.mark.parametrize("line", OTHERS)
def test_addresses_greetings_and_sentences_are_no_names(line: str) -> None:
    assert find_name(line) is None
