"""Rename without overwriting, and exchange two names, in one step each: what POSIX lacks and systems have.

Linux has `renameat2`, macOS `renameatx_np`; where the file system knows neither, there is a way in two steps.
"""

import ctypes
import errno
import os
import sys

from agentd.actions.confine import Place

if sys.platform == "darwin":
    _FUNCTION, _NO_REPLACE, _EXCHANGE = "renameatx_np", 4, 2  # RENAME_EXCL, RENAME_SWAP of <stdio.h>
else:
    _FUNCTION, _NO_REPLACE, _EXCHANGE = "renameat2", 1, 2  # of <linux/fs.h>

_rename = getattr(ctypes.CDLL(None, use_errno=True), _FUNCTION, None)
if _rename is not None:
    _rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    _rename.restype = ctypes.c_int

_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def move(source: Place, target: Place) -> None:
    """Give a file another name; raises `FileExistsError` where that is taken, `OSError`."""
    if _call(source, target, _NO_REPLACE):
        return
    os.link(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder, follow_symlinks=False)
    os.unlink(source.name, dir_fd=source.folder)


def exchange(one: Place, other: Place) -> bool:
    """Let two names change their files; False where the system cannot do that in one step."""
    return _call(one, other, _EXCHANGE)


def _call(source: Place, target: Place, how: int) -> bool:
    if _rename is None:
        return False
    names = os.fsencode(source.name), os.fsencode(target.name)
    if _rename(source.folder, names[0], target.folder, names[1], how) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNKNOWN:
        return False
    raise OSError(code, os.strerror(code), source.name, None, target.name)
