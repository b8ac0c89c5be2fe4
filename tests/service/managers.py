"""Real systemd managers for tests, each in namespaces of its own: nothing of them is seen by the machine.

A user's manager is run by a user that exists only in there; its home is a tmpfs. Needs root, for mounts.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
USER, UID = "tester", 61500
HOME = Path("/home/tester")
CGROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
SYSTEM_VENV = Path("/opt/agentd")
MANAGER = "/lib/systemd/systemd"

# What pid 1 of a machine does before a user's manager can be: folders in /run, a cgroup that belongs to the user.
SET_UP = f"""
set -e
umask 022
mount --make-rprivate /
umount --lazy /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /home
mkdir -p /run/systemd/system /run/systemd/unit-root {HOME} /run/user/{UID}
cp /etc/passwd /etc/group /run/
"""
# An interpreter in root's closed home, and nothing else of that home.
INTERPRETER = f"""
mkdir /run/python
mount --bind {sys.base_prefix} /run/python
mount -t tmpfs -o mode=755 tmpfs /root
mkdir -p {sys.base_prefix}
mount --bind /run/python {sys.base_prefix}
"""
USERS = f"""
echo '{USER}:x:{UID}:{UID}::{HOME}:/bin/sh' >> /run/passwd
echo '{USER}:x:{UID}:' >> /run/group
mount --bind /run/passwd /etc/passwd
mount --bind /run/group /etc/group
chown {UID}:{UID} {HOME} /run/user/{UID}
chmod 700 /run/user/{UID}
mkdir /sys/fs/cgroup/$1
chown -R {UID}:{UID} /sys/fs/cgroup/$1
echo 0 > /sys/fs/cgroup/$1/cgroup.procs
setpriv --reuid {UID} --regid {UID} --init-groups env -i HOME={HOME} USER={USER} PATH=/usr/bin:/bin \
    XDG_RUNTIME_DIR=/run/user/{UID} LANG=C.UTF-8 {MANAGER} --user --log-target=console &
wait
"""


# A shared libpython looks for itself where it was built.
LIBRARIES = "LD_LIBRARY_PATH=/run/python/lib"
# A system of its own: accounts, units and state of nobody else, and of the machine's units the targets alone.
# Without those no boot happens in here, which would clear the machine's /tmp.
SYSTEM = f"""
set -e
umask 022
mount --make-rprivate /
umount --lazy /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /home
mkdir -p /run/python /run/units /run/etc/systemd/system /run/etc/sysusers.d
mount --bind {sys.base_prefix} /run/python
cp -a /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/nsswitch.conf /etc/ld.so.cache /run/etc/
: > /run/etc/fstab
: > /run/etc/machine-id
mount --bind /run/etc /etc
cp /lib/systemd/system/*.target /lib/systemd/system/*.slice /run/units/
printf '[Unit]\nDefaultDependencies=no\n' > /run/units/world.target
mount --bind /run/units /lib/systemd/system
mount -t tmpfs tmpfs /lib/systemd/system-generators
mkdir /run/etc/systemd/system/agentd.service.d
cd /run/etc/systemd/system/agentd.service.d
printf '[Service]\nEnvironment={LIBRARIES}\nRestartSec=200ms\n' > override.conf
export {LIBRARIES}
/run/python/bin/python3 -m venv --without-pip {SYSTEM_VENV}
printf '%s\n' {ROOT} {sysconfig.get_path("purelib")} > $(echo {SYSTEM_VENV}/lib/python*/site-packages)/agentd.pth
export container=agentd-test
exec {MANAGER} --system --unit=world.target --log-target=null --show-status=0
"""


class Manager:
    """A running manager and the world that it sees."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self._log = log

    def file(self, path: Path | str) -> Path:
        """A file of that world, as it is reached from here."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def as_root(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a program as root."""
        done = subprocess.run(
            [
                *("nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--cgroup"),
                *("env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/bin", "LANG=C.UTF-8", LIBRARIES, *words),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert code is None or done.returncode == code, f"{words}: {done.stdout}{done.stderr}{self.log}"
        return done

    def run(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a program as the user."""
        done = subprocess.run(
            [
                *("nsenter", f"--target={self.pid}", "--mount", "--pid"),
                *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups"),
                *(
                    "env",
                    "-i",
                    f"--chdir={HOME}",
                    f"HOME={HOME}",
                    f"USER={USER}",
                    "PATH=/usr/bin:/bin",
                    "LANG=C.UTF-8",
                ),
                *(f"XDG_RUNTIME_DIR=/run/user/{UID}", *words),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert code is None or done.returncode == code, f"{words}: {done.stdout}{done.stderr}{self.log}"
        return done

    def agentd(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run agentd as the user."""
        return self.run(sys.executable, "-P", "-m", "agentd", *words, code=code)

    def systemctl(self, *words: str, code: int | None = 0) -> str:
        return self.run("systemctl", "--user", "--no-pager", *words, code=code).stdout

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl("show", "agentd.service", f"--property={name}", "--value").strip()

    @property
    def log(self) -> str:
        """What the manager and its services have said: there is no journal in here."""
        return self._log.read_text("utf-8", "replace")


def skip_where_impossible() -> None:
    """Skip the test, with the reason, where no manager can be started."""
    if not Path(MANAGER).exists():
        pytest.skip("systemd is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may mount what a manager needs")
    for program in ("unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if ROOT.is_relative_to("/home") or Path(sys.executable).is_relative_to("/home"):
        pytest.skip("the checkout lies in /home, which the manager's world has anew")
    closed = [path for path in ROOT.parents if not path.stat().st_mode & 0o001]
    if closed:
        pytest.skip(f"{closed[0]} is closed to other users, and the manager is another user's")


@contextlib.contextmanager
def user_manager(folder: Path) -> Iterator[Manager]:
    """A user's manager that runs while the block does."""
    skip_where_impossible()
    log = folder / "manager.log"
    cgroup = next(one for one in CGROUPS if one.is_dir()) / f"agentd-test-{os.getpid()}"
    closed = Path(sys.base_prefix).is_relative_to("/root")
    script = SET_UP + (INTERPRETER if closed else "") + USERS
    with log.open("wb") as out:
        shell = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", script, "sh", cgroup.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield _reached(shell, log)
    finally:
        shell.kill()
        shell.wait()
        _remove(cgroup)


@contextlib.contextmanager
def system_manager(folder: Path) -> Iterator[Manager]:
    """A system's manager that runs while the block does."""
    skip_where_impossible()
    log = folder / "manager.log"
    with log.open("wb") as out:
        shell = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--fork", "--kill-child"),
                *("--mount-proc", "sh", "-c", SYSTEM),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield _reached(shell, log, user=False)
    finally:
        shell.kill()
        shell.wait()


def _reached(shell: subprocess.Popen[bytes], log: Path, *, user: bool = True) -> Manager:
    """The manager once it answers; `unshare` is above it."""

    def find() -> Manager | None:
        if shell.poll() is not None:
            pytest.skip(f"no manager can be started here: {log.read_text('utf-8', 'replace').strip()[-500:]}")
        for child in psutil.Process(shell.pid).children():
            manager = Manager(child.pid, log)
            asked = ("systemctl", "--user" if user else "--system", "is-system-running")
            if (manager.run if user else manager.as_root)(*asked, code=None).stdout.strip() == "running":
                return manager
        return None

    return wait_for(find, 60, "a manager that answers")


def _remove(cgroup: Path) -> None:
    """The cgroups that a manager left behind, once all in them has ended."""

    def gone() -> bool:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):  # something in it is still ending
                Path(folder).rmdir()
        return not cgroup.exists()

    wait_for(gone, 30, "the end of what the manager ran")
