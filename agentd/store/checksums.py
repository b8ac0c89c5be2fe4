"""Checksums of large files, remembered for as long as the file looks the same."""

from sqlite_utils import Database


def get(db: Database, path: str, size: int, mtime_ns: int, inode: int) -> str | None:
    """The remembered sha256, if the file looked like this when it was taken."""
    rows = db.query(
        "SELECT sha256 FROM checksums WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?",
        [path, size, mtime_ns, inode],
    )
    return next((str(row["sha256"]) for row in rows), None)


def put(db: Database, path: str, size: int, mtime_ns: int, inode: int, sha256: str) -> None:
    """Remember a sha256, in place of an earlier one."""
    db.execute("INSERT OR REPLACE INTO checksums VALUES (?, ?, ?, ?, ?)", [path, size, mtime_ns, inode, sha256])
