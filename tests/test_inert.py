"""What a model says can be read, and does nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.inert import each_text, inert, one_line, visible

TAKEN = [
    ("![x](https://evil.example/?q=1)", "x"),
    ('![x]( <https://evil.example/a b> "title" ) and', "x and"),
    ("![x][ref] ![y]", "x y"),
    ("![[Private note]]", "[[Private note]]"),
    ("[words](https://evil.example/?q=1)", "words"),
    ("[words](//evil.example/q)", "words"),
    ("[words](javascript:alert(1))", "words"),
    ("[words](&#104;ttps://evil.example)", "words"),
    ("[words](other note.md#part)", "[words](other note.md#part)"),
    ("[![a](https://e.example/1)](https://e.example/2)", "a"),
    ("[r]: https://evil.example/?q=1", ""),
    ("[^1]: see page 3", "[^1]: see page 3"),
    ("[r]: other.md", "[r]: other.md"),
    ("see https://evil.example/?q=1, please", "see evil.example please"),
    ("HTTPS://user:pw@evil.example:8443/q", "evil.example:8443"),
    ("file:///etc/passwd", "etc"),
    ("www.evil.example/?q=1", "www.evil.example"),
    ("<https://evil.example/q>", "<evil.example>"),
    ("<mailto:a@b.example>", "a@b.example"),
    ("<img src=x onerror=y> <b>bold</b>", " <b>bold</b>"),
    ('<div style="background:url(https://e.example)">x</div>', "x</div>"),
    ("<script>run()</script>", "run()"),
    # One that completes another when it is taken away.
    ("ht<img src=x>tps://evil.example/q", "evil.example"),
    ("!<img src=y>[x](https://evil.example/q)", "!x"),
    ("ht\u200btps://evil.example/q", "evil.example"),
    # What is only begun is completed by nothing that follows.
    ("see ![x](//evil.example/q", "see x(//evil.example/q"),
    ("[a](javascript:f('", "[a] (javascript:f('"),
    ("[a [b]](//evil.example/f(g(x)))", "[a [b]] (//evil.example/f(g(x)))"),
    ("![x][r", "x[r"),
    ("![x", "[x"),
    ("[r]:", ""),
    ("<img src=//evil.example/q", "< img src=//evil.example/q"),
    ("<img", "< img"),
    # Code and types are words.
    ("std::vector<int> a[i](x); f[0](a, b)", "std::vector<int> a[i](x); f[0](a, b)"),
    ("if a < b and c > d: e", "if a < b and c > d: e"),
    ("10:30, 3//4, C:\\temp, 12:34:56", "10:30, 3//4, C:\\temp, 12:34:56"),
]


@pytest.mark.parametrize(("said", "stays"), TAKEN)
def test_of_links_and_images_the_words_stay(said: str, stays: str) -> None:
    assert inert(said) == stays


HIDDEN = [
    ("a\u202eb\u2067c\u200bd\u2060e\ufefff\u00adg", "abcdefg"),
    ("\x1b[31mred\x07\x9b", "[31mred"),
    ("one\rtwo\u2028three\x85four", "one\ntwo\nthree\nfour"),
    ("".join(chr(0xE0000 + ord(letter)) for letter in "hidden"), ""),
    ("a\U000e0100\U000e01efb\ufe0f\ufe0fc", "abc"),
    ("half \ud800 pair", "half  pair"),
    ("a\u3164\u115fb", "ab"),
    ("\u200c\u200d\u200cx \u200d y", "x  y"),
    # Persian is written with joiners, emoji with them and with selectors.
    (
        "می\u200cخواهم \u2764\ufe0f \U0001f469\u200d\U0001f4bb",
        "می\u200cخواهم \u2764\ufe0f \U0001f469\u200d\U0001f4bb",
    ),
    ("\u2764\ufe0f\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525"),
    ("tabs\tand\nlines", "tabs\tand\nlines"),
]


@pytest.mark.parametrize(("said", "stays"), HIDDEN)
def test_what_is_not_seen_goes(said: str, stays: str) -> None:
    assert visible(said) == stays


def test_a_part_of_a_line_begins_no_line_and_no_code() -> None:
    assert one_line("---\ntags: [x]\n---\n") == "--- tags: [x] ---"
    assert one_line("```dataviewjs\nrun()\n```") == "`dataviewjs run() `"
    assert one_line("~~~js\n<%* tp.x() %> `$= dv.y()`") == "~js <* tp.x() %> ` dv.y()`"


def test_each_text_of_a_value_is_changed_and_nothing_else() -> None:
    value = {"a": ["x", {"b": "y"}], "c": 1, "d": None, "e": True}
    assert each_text(value, str.upper) == {"a": ["X", {"b": "Y"}], "c": 1, "d": None, "e": True}


PIECES = re.findall(
    r"\S+",
    "![ [ ] ( ) < > https:// evil.example // : www. / ?q=1 img src= \u200b \u202e a ! ` `` ~~~ <% % $= script "
    "url( mailto: & @",
)
MIXED = st.lists(st.sampled_from([*PIECES, "\n", " "]), max_size=30).map("".join)


@given(st.one_of(MIXED, st.text(max_size=60)))
def test_what_is_inert_stays_so_and_links_nowhere(text: str) -> None:
    done = inert(text)
    assert inert(done) == visible(done) == done
    assert not any(part in done.lower() for part in ("https://e", "<script>", "![", "](//"))
    line = one_line(text)
    assert one_line(line) == line
    assert not {"\n", "\t"} & set(line)
    assert not any(part in line for part in ("```", "~~~", "<%", "`$="))


@given(MIXED, MIXED)
def test_two_texts_side_by_side_load_nothing_either(first: str, second: str) -> None:
    line = f"{one_line(first)} {one_line(second)}"
    assert "![" not in line.replace("! [", "")
    assert not re.search(r"<[a-z/!?][^<>]*\bsrc=[^<>]*>", line)
    assert not re.search(r"\]\(\s*(?://|https:|mailto:)", line)
