"""Text of PDFs beside `pdftotext`: `python -m benchmarks.pdf [FILE|FOLDER…]`, by default /usr/share/doc.

For every file the share of pdftotext's words that our reader gives in the same order, page by page, and the time
of both. A word is a run of letters and digits, ligatures written out; pdftotext joins words that were cut at the
end of a line, and so does the reader.

pdftotext itself knows three orders: by its own idea of columns (the default, which reads many tables column by
column), as laid out (rows whole, but columns of prose mixed), and as drawn. "in order" is by the default alone;
"in any" takes for every page the order that is nearest, and so tells what was lost apart from what was arranged
otherwise.

The figures that are reported are of Debian 12's `poppler-utils` on the PDFs in these of its packages, of a dozen
producers from TeX, groff and FOP to LibreOffice and cairo. None has to be installed:

    mkdir pdfs && cd pdfs && apt-get download PACKAGES && for one in *.deb; do dpkg -x $one .; done

    4ti2-doc bzip2-doc camlidl-doc cups-filters debian-reference-de docbook-xsl-doc-pdf expeyes-doc-en fasta3-doc
    freefem-doc ghostscript-doc gnuplot-doc gpsim-doc groff gutenprint-doc hmmer-doc libtasn1-doc
    lilypond-doc-pdf-nl maint-guide maint-guide-ja mpich-doc mrbayes-doc music-doc nettle-dev phyml
    python-reportlab-doc r-cran-rcpp r-cran-rcpparmadillo raxml ruby-prawn-doc shared-mime-info speex-doc
    tigr-glimmer ubuntu-packaging-guide-pdf valgrind velvet yorick-doc zlib1g-dev
"""

import argparse
import difflib
import gzip
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pypdfium2
from rich.console import Console
from rich.table import Table

from agentd.errors import InputError
from agentd.readers.read import Reader
from agentd.records import Document

_WORD = re.compile(r"\w+")
ORDERS = ([], ["-layout"], ["-raw"])  # the default first
MAX_BYTES = 200 * 1024**2
BOUND = 0.98


@dataclass(frozen=True, slots=True)
class Compared:
    """One file."""

    name: str
    producer: str
    pages: int
    words: int  # by pdftotext
    share: float  # of these, in its default order
    share_any: float  # in the nearest of its orders
    seconds: float
    peer_seconds: float


def find(places: Sequence[Path], scratch: Path) -> Iterator[tuple[str, Path]]:
    """The PDFs in files and folders, each content once; packed ones are unpacked into `scratch`."""
    seen = set[str]()
    for place in places:
        for file in sorted(place.rglob("*.pdf*")) if place.is_dir() else [place]:
            if not file.is_file() or file.suffix not in (".pdf", ".gz"):
                continue
            raw = file.read_bytes()
            digest = hashlib.sha256(raw).hexdigest()
            if digest in seen:
                continue
            seen.add(digest)
            if file.suffix == ".gz":
                file = scratch / f"{digest[:8]}-{file.stem}"
                file.write_bytes(gzip.decompress(raw))
                yield file.name[9:], file
            else:
                yield file.name, file


def words_of(text: str) -> list[str]:
    """The words of a page."""
    return _WORD.findall(unicodedata.normalize("NFKC", text))


def count_in_order(wanted: Sequence[str], given: Sequence[str]) -> int:
    """How many of the words that are wanted were given in the same order."""
    matcher = difflib.SequenceMatcher(None, wanted, given, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks())


def pages_of(document: Document) -> list[str]:
    """The text of each page of a document."""
    lines = document.text.split("\n")
    starts = [place.line - 1 for place in document.places] + [len(lines)]
    return ["\n".join(lines[start:end]) for start, end in itertools.pairwise(starts)]


def compare(name: str, file: Path, reader: Reader) -> Compared:
    """Read a file both ways; raises `InputError` where ours cannot."""
    began = time.monotonic()
    document = reader.read(file, MAX_BYTES)
    seconds = time.monotonic() - began
    peers, peer_seconds = [], 0.0
    for order in ORDERS:
        began = time.monotonic()
        said = subprocess.run(["pdftotext", *order, str(file), "-"], capture_output=True, check=True).stdout
        peer_seconds = peer_seconds or time.monotonic() - began
        peers.append([words_of(page) for page in said.decode("utf-8", "replace").split("\f")])
    total = same = nearest = 0
    for own, *orders in zip(map(words_of, pages_of(document)), *peers, strict=False):
        if orders[0]:
            shares = [count_in_order(order, own) / len(order) for order in orders]
            total += len(orders[0])
            same += shares[0] * len(orders[0])
            nearest += max(shares) * len(orders[0])
    with pypdfium2.PdfDocument(file) as opened:
        producer = opened.get_metadata_value("Producer") or "?"
    return Compared(
        *(name, producer, document.length, total, same / max(total, 1), nearest / max(total, 1)),
        *(seconds, peer_seconds),
    )


def report(found: Sequence[Compared]) -> None:
    """Print the table, the worst first."""
    table = Table(box=None)
    for column in ("file", "producer", "pages", "words", "in order", "in any", "seconds", "pdftotext"):
        table.add_column(column, justify="left" if column in ("file", "producer") else "right", no_wrap=True)
    for one in sorted(found, key=lambda one: one.share):
        table.add_row(
            *(one.name[:36], one.producer[:24], f"{one.pages:,}", f"{one.words:,}"),
            *(f"{one.share:.4f}", f"{one.share_any:.4f}", f"{one.seconds:.2f}", f"{one.peer_seconds:.2f}"),
        )
    Console(highlight=False, width=120).print(table)
    words = sum(one.words for one in found)
    for title, shares in (
        ("in order", [(one.share, one.words) for one in found]),
        ("in any of its orders", [(one.share_any, one.words) for one in found]),
    ):
        mean = sum(share * weight for share, weight in shares) / max(words, 1)
        good = sum(share >= BOUND for share, _ in shares)
        print(f"{title}: {mean:.4f} of {words:,} words; {good} of {len(found)} files at least {BOUND}")


def main(arguments: argparse.Namespace) -> int:
    """Compare, and print a table."""
    if shutil.which("pdftotext") is None:
        print("pdftotext is not installed: apt install poppler-utils", file=sys.stderr)
        return 1
    found: list[Compared] = []
    reader = Reader()
    with tempfile.TemporaryDirectory() as scratch:
        for name, file in find(arguments.places or [Path("/usr/share/doc")], Path(scratch)):
            try:
                found.append(compare(name, file, reader))
            except (InputError, subprocess.CalledProcessError) as refused:
                print(f"{name}: {refused}", file=sys.stderr)
    reader.close()
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in found], indent=2))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("places", type=Path, nargs="*", help="files or folders")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    sys.exit(main(parser.parse_args()))
