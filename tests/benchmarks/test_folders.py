from pathlib import Path

from benchmarks import folders


def test_a_checkout_changes_a_fifth_under_the_same_names_and_removes_some(tmp_path: Path) -> None:
    folders.make_tree(tmp_path, 250)
    before = {file: file.stat().st_ino for file in tmp_path.rglob("*.md")}
    assert len(before) == 250
    assert folders.check_out(tmp_path) == 50
    after = {file: file.stat().st_ino for file in tmp_path.rglob("*.md")}
    assert len(after) == 245
    assert sum(before[file] != number for file, number in after.items()) == 50
    assert not list(tmp_path.rglob(".*"))
