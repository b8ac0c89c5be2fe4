"""HTML: the text that a reader of the page would see, without its navigation, scripts and what is hidden.

What is hidden from people is left out for a second reason: it is where instructions for machines are put.
"""

import re
from typing import BinaryIO

from lxml import etree
from lxml import html as lxml_html

from agentd.errors import Malformed
from agentd.readers.content import SOFT_HYPHEN, Content
from agentd.records import Place

# Whole pages may stand in a form, so only what is filled in or pressed is taken out of it.
_NO_TEXT = (
    "//script|//style|//noscript|//template|//nav|//iframe|//svg"
    "|//button|//select|//textarea|//datalist|//*[@hidden or @aria-hidden='true' or @role='navigation']"
)
# What stands around the text of a page of a site; a warning or a note inside the text is a part of it.
_FURNITURE = (
    "/html/body/header|/html/body/footer|//*[@role='banner' or @role='contentinfo' or @role='search']"
    "|//*[(self::aside or @role='complementary') and not(ancestor::main or ancestor::article or "
    "ancestor::*[@role='main'])]"
)
_OUTERMOST = "//{0}[not(ancestor::main or ancestor::article)]"
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d])", re.IGNORECASE
)
_CSS_CONDITION = re.compile(r"@[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")  # for print, for small screens …
_CSS_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_CSS_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CSS_CLASS = re.compile(r"[\w-]*\.([\w-]+)")
_LONGEST_CELL = 200  # characters: beyond, a table is there for the layout and no table
_MAIN_SHARE = 0.4  # of a page's text, which `main` or `article` must hold to be all that is read
_HEADING = "\x01"  # marks a line until it is known which ones are headings: no page can have this character
_HEADINGS = {f"h{level}": f"{_HEADING}{'#' * level} " for level in range(1, 7)}
_MARKS = {"- ", *_HEADINGS.values()}
# Elements that do not begin a new line; any other does.
_INLINE = re.compile(
    "a|abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|img|ins|kbd|label|mark|q|rp|rt|ruby|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr|"
)


def read(file: BinaryIO, name: str) -> Content:
    """The text of an HTML page; raises `Malformed`. Its headings become places."""
    marked = _to_marked(file.read(), name)
    places = [
        Place(number, f"section “{line.lstrip(f'{_HEADING}# ')}”")
        for number, line in enumerate(marked.split("\n"), 1)
        if re.match(rf"{_HEADING}#{{1,6}} \S", line)
    ]
    if places and places[0].line > 1:
        places.insert(0, Place(1, "beginning"))
    return Content(marked.replace(_HEADING, ""), tuple(places))


def to_text(raw: bytes, name: str) -> str:
    """The readable text of a page, headings marked as in Markdown; raises `Malformed`."""
    return _to_marked(raw, name).replace(_HEADING, "")


def to_text_of_book(raw: bytes, name: str, css: str) -> str:
    """The readable text of a chapter that has these styles, as `to_text`; nothing stands around it."""
    return _to_marked(raw, name, css, book=True).replace(_HEADING, "")


def _to_marked(raw: bytes, name: str, css: str = "", *, book: bool = False) -> str:
    if not raw.strip():
        return ""
    root = _parse(raw, name)
    title = " ".join((root.findtext(".//title") or "").split())
    css += "\n".join(style.text or "" for style in root.iter("style"))
    if classes := _hidden_classes(css):
        for element in root.xpath("//*[@class]"):
            if classes & set(element.get("class").split()):
                element.set("hidden", "")
    hidden = (element for element in root.xpath("//*[@style]") if _HIDDEN.search(element.get("style")))
    for element in [*root.xpath(_NO_TEXT if book else f"{_NO_TEXT}|{_FURNITURE}"), *hidden]:
        if element.getparent() is not None:
            element.drop_tree()
    body = root.find(".//body")
    text = _render(root if body is None else body)
    for kind in () if book else ("main", "*[self::main or self::article]"):
        inner = "\n\n".join(map(_render, root.xpath(_OUTERMOST.format(kind))))
        if len(inner) >= _MAIN_SHARE * len(text):
            text = inner
            break
    return text if not title or title in text[:500] else f"{_HEADINGS['h1']}{title}\n\n{text}"


def _hidden_classes(css: str) -> set[str]:
    """The classes whose elements nobody is shown, whatever the screen; only rules for a class alone count."""
    found = set[str]()
    for selectors, rule in _CSS_RULE.findall(_CSS_CONDITION.sub("", css)):
        if _CSS_HIDDEN.search(rule):
            matches = (_CSS_CLASS.fullmatch(selector.strip()) for selector in selectors.split(","))
            found |= {match[1] for match in matches if match}
    return found


def _parse(raw: bytes, name: str) -> lxml_html.HtmlElement:
    # Without a mark libxml2 takes bytes for Latin-1, which is right only where they are not UTF-8.
    parser = lxml_html.HTMLParser(
        no_network=True, huge_tree=False, remove_comments=True, encoding="utf-8" if _is_utf8(raw) else None
    )
    try:
        return lxml_html.document_fromstring(raw, parser=parser)
    except (etree.LxmlError, ValueError, AssertionError) as broken:
        raise Malformed(f"{name} begins like HTML and cannot be read: {broken}") from broken


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _render(root: lxml_html.HtmlElement) -> str:
    """The text of an element: a block a line, paragraphs and headings apart, the cells of a row by bars."""
    lines = [""]
    row: lxml_html.HtmlElement | None = None  # the row of a table that becomes one line
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        begins = event == "start"
        if row is not None and element is not row:
            if tag in ("td", "th"):
                if not begins and element.getnext() is not None:
                    lines[-1] = f"{lines[-1].rstrip(' ')} | "
            elif not _INLINE.fullmatch(tag) and lines[-1][-1:] not in ("", " "):
                lines[-1] += " "
        elif tag == "tr":
            row = element if begins and _is_row(element) else None
            lines[-1] = lines[-1].rstrip(" |") if not begins else lines[-1]
            _break(lines, apart=False)
        elif tag == "br":
            lines += [""] if begins else []
        elif not _INLINE.fullmatch(tag):
            apart = tag in _HEADINGS or tag in (
                "p",
                "pre",
                "table",
                "ul",
                "ol",
                "blockquote",
                "section",
                "article",
            )
            _break(lines, apart=apart)
            if begins and (mark := "- " if tag == "li" else _HEADINGS.get(tag, "")):
                lines[-1] = mark
        text = element.text if begins else element.tail if element is not root else None
        text = text.replace(SOFT_HYPHEN, "") if text else None
        if text and tag == "pre" and begins and row is None:
            lines += text.strip("\n").split("\n")
        elif text:
            folded = re.sub(r"\s+", " ", text)
            lines[-1] += folded if lines[-1][-1:] not in ("", " ") else folded.lstrip()
    tidy = (line.strip() if not line.startswith("  ") else line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(tidy)).strip("\n")


def _is_row(element: lxml_html.HtmlElement) -> bool:
    """Whether a row has several cells that hold little each."""
    cells = element.xpath("./td|./th")
    return (
        len(cells) > 1
        and element.find(".//table") is None
        and all(len(cell.text_content()) <= _LONGEST_CELL for cell in cells)
    )


def _break(lines: list[str], *, apart: bool) -> None:
    """Begin a new line, after a blank one where what follows stands apart."""
    if lines[-1] in _MARKS:
        return  # a paragraph in a list item, or an item without a word
    if lines[-1].strip():
        lines.append("")
    if apart and len(lines) > 1 and lines[-2].strip():
        lines.append("")
