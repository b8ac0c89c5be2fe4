import pytest
from sqlite_utils import Database

from agentd.store import checksums


@pytest.mark.parametrize("look", [("/m", 2, 1, 1), ("/m", 1, 2, 1), ("/m", 1, 1, 2), ("/n", 1, 1, 1)])
def test_a_checksum_counts_while_the_file_looks_the_same(db: Database, look: tuple[str, int, int, int]) -> None:
    checksums.put(db, "/m", 1, 1, 1, "old")
    checksums.put(db, "/m", 1, 1, 1, "abc")
    assert checksums.get(db, "/m", 1, 1, 1) == "abc"
    assert checksums.get(db, *look) is None
