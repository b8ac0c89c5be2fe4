"""Text of a page that is a picture, through `tesseract` where that is installed; nothing is downloaded."""

import shutil
import subprocess

import pypdfium2

from agentd.errors import ReaderFailed

DPI = 300  # what tesseract's documentation recommends
PAGE_SECONDS = 60.0
MAX_PIXELS = 50_000_000  # a larger page is drawn smaller


def find_program() -> str | None:
    """The path of tesseract."""
    return shutil.which("tesseract")


def read_page(page: pypdfium2.PdfPage, program: str) -> str:
    """The text in the picture of a page; raises `ReaderFailed` where tesseract takes too long."""
    scale = DPI / 72
    width, height = page.get_size()
    scale *= min(1.0, (MAX_PIXELS / max(width * height * scale**2, 1.0)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        rows = bitmap.to_numpy()
        picture = b"P5\n%d %d\n255\n" % (rows.shape[1], rows.shape[0]) + rows.tobytes()
    finally:
        bitmap.close()
    try:
        done = subprocess.run(
            [program, "stdin", "stdout", "-l", "+".join(languages(program))],
            input=picture,
            capture_output=True,
            timeout=PAGE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise ReaderFailed(f"tesseract took more than {PAGE_SECONDS:g} s for a page") from late
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ReaderFailed(f"tesseract ended with {done.returncode}: {told[-1] if told else 'it said nothing'}")
    text: bytes = done.stdout
    return text.decode("utf-8", "replace")


def languages(program: str) -> list[str]:
    """The languages that tesseract has been installed with, English first."""
    listed = subprocess.run(
        [program, "--list-langs"], capture_output=True, text=True, timeout=PAGE_SECONDS, check=False
    ).stdout.splitlines()[1:]
    found = [language for language in listed if language and language != "osd"]
    return sorted(found, key=lambda language: language != "eng") or ["eng"]
