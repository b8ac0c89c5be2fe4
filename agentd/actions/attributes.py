"""What belongs to a file beside its bytes: mode, owner, access lists, extended attributes, times.

A file that is replaced keeps all of it or is not replaced; a copy gets what its file system can hold. When a file
was born is not to be set by anybody, and belongs to the new bytes.
"""

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Iterator

from agentd.actions.confine import Place, open_file
from agentd.errors import NotEditable

# Labels of the system's own: it gives them to the new file itself.
_SYSTEM = ("security.", "trusted.")
_NONE_HERE = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def keep(source: Place, target: Place, found: os.stat_result, *, times: bool, strict: bool) -> None:
    """Give `target` what `source` has, `found` being how that looks; with `times`, those too.

    With `strict`, raises `NotEditable` where its owner cannot be kept, and `OSError` where an attribute cannot.
    """
    with _opened(source) as reading, _opened(target) as writing:
        _keep_owner(source, writing, found, strict=strict)
        _keep_extended(reading, writing, found.st_mode & 0o7777, strict=strict)
        if times:
            os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(writing)


@contextlib.contextmanager
def _opened(place: Place) -> Iterator[int]:
    descriptor = open_file(place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _keep_owner(source: Place, writing: int, found: os.stat_result, *, strict: bool) -> None:
    new = os.fstat(writing)
    if (found.st_uid, found.st_gid) == (new.st_uid, new.st_gid):
        return
    try:
        # Only root may give files away; a group that one is in may be kept.
        os.fchown(writing, found.st_uid, found.st_gid)
    except OSError as broken:
        # In a user namespace, such as a service's, a foreign group has no number that could be given.
        if broken.errno not in (errno.EPERM, errno.EINVAL):
            raise
        if strict:
            raise NotEditable(f"{source.path} belongs to somebody else, which could not stay so") from broken


def _keep_extended(reading: int, writing: int, mode: int, *, strict: bool) -> None:
    """The mode and what goes beyond it. An access list that a new file inherits from its folder goes first."""
    if sys.platform == "darwin":
        os.fchmod(writing, mode)
        _copy_metadata(reading, writing, strict=strict)
        return
    wanted = {name: os.getxattr(reading, name) for name in _names(reading)}
    for name in _names(writing):
        if name not in wanted and not name.startswith(_SYSTEM):
            os.removexattr(writing, name)
    os.fchmod(writing, mode)
    for name, value in wanted.items():
        try:
            os.setxattr(writing, name, value)
        except OSError:
            if strict and not name.startswith(_SYSTEM):
                raise


def _names(descriptor: int) -> list[str]:
    if sys.platform == "darwin":
        return []
    try:
        return os.listxattr(descriptor)
    except OSError as broken:
        if broken.errno in _NONE_HERE:
            return []
        raise


if sys.platform == "darwin":
    _ACL_AND_XATTRS = 1 | 4  # COPYFILE_ACL and COPYFILE_XATTR of <copyfile.h>
    _fcopyfile = ctypes.CDLL(None, use_errno=True).fcopyfile
    _fcopyfile.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32]

    def _copy_metadata(reading: int, writing: int, *, strict: bool) -> None:
        if _fcopyfile(reading, writing, None, _ACL_AND_XATTRS) and strict:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
