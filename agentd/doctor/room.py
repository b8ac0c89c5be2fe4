"""Whether there is room on the disks that agentd writes to."""

import shlex
from collections.abc import Iterator

from agentd.daemon.disks import read_disks
from agentd.daemon.health import folders_of
from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home


def check_disks(home: Home) -> Iterator[Diagnosis]:
    """The free space of each file system, once."""
    for disk in read_disks(folders_of(home.paths, home.usable)):
        about, hint = f"disk of {disk.path}", f"df -h {shlex.quote(str(disk.path))}"
        if disk.out:
            yield error(about, f"{disk.told()}: next to nothing can be written", hint)
        elif disk.low:
            yield warning(about, disk.told(), hint)
        else:
            free = disk.free / 1024**3
            yield ok(about, f"{free:,.1f} GiB free, for {', '.join(disk.holds)}")
