"""A reader whose children end with the tests of a module."""

from collections.abc import Iterator

import pytest

from agentd.readers.read import Reader


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """A reader of every kind of file."""
    reader = Reader()
    yield reader
    reader.close()
