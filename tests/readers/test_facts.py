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


DATES += [
    ("2026/05/12", "2026-05-12"),
    ("12-05-2026", "2026-05-12"),
    ("13-05-2026", "2026-05-13"),
    ("of 1 May 2026, due 2026-06-01", "2026-05-01"),
    ("due 05/06/2026, of 2026-01-01", "2026-06-05"),
    ("tel. 040-12-05-2026", None),
    ("photos/2026/05/12/x.jpg", None),
]


@pytest.mark.parametrize(("line", "value"), DATES)
def test_a_date_is_found_as_people_write_it(line: str, value: str | None) -> None:
    found = find_date(line)
    assert (found.values["value"] if found else None) == value


ORDERS = [
    ("Due 05/12/2026\nShipped 05/28/2026", "2026-05-12"),
    ("Due 05/12/2026\nShipped 28/05/2026\n$5.00", "2026-12-05"),
    ("Due 05/12/2026\nTotal 5.00 USD", "2026-05-12"),
    ("Due 05/12/2026\nTotal 5.00 EUR", "2026-12-05"),
    ("Due 05/12/2026\n28/05/2026 and 05/28/2026", "2026-12-05"),
]


@pytest.mark.parametrize(("text", "value"), ORDERS)
def test_whether_the_month_comes_first_is_told_by_the_whole_text(text: str, value: str) -> None:
    found = find_date("Due 05/12/2026", text)
    assert found
    assert found.values["value"] == value


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
    ("Refund -€20.00", -20.0, "EUR"),
    ("Refund −20.00 €", -20.0, "EUR"),
    ("Between 10-€20.00", 20.0, "EUR"),
    ("- €20.00", 20.0, "EUR"),
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


LABELLED = [
    ("From: Anna <a@x.org>", "Anna"),
    ('Von: "Keller, Anna" <anna.keller@a-very-long-name-of-a-firm.example.org>', "Keller, Anna"),
    ("Anna Keller (anna@example.org)", "Anna Keller"),
    ("from: anna@example.org", "anna@example.org"),
    ("From: <anna@example.org>", "anna@example.org"),
    ("De : Société Générale", "Société Générale"),
]


@pytest.mark.parametrize(("line", "name"), LABELLED)
def test_labels_and_addresses_are_no_part_of_a_name(line: str, name: str) -> None:
    found = find_name(line)
    assert found
    assert found.values == {"value": name}
