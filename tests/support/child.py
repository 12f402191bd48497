"""Call a function in a child process: as another user, with another umask, or with a fault."""

import ctypes
import logging
import os
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_workflow.errors import UserError
from kernel_faults import inject

#: Two users of one group. Only root can be another user.
FIRST_USER, SECOND_USER, GROUP = 4001, 4002, 4000
# Linux' numbers
PR_SET_KEEPCAPS, CAPABILITY_VERSION_3, CAP_DAC_READ_SEARCH = 8, 0x20080522, 2


@dataclass
class Ended:
    """A process that has ended."""

    exit_code: int
    terminal: str
    seconds: float


def in_child(
    function: Callable[[], object],
    fault: str | None = None,
    user: int | None = None,
    umask: int = 0o022,
    may_read: bool = False,
) -> Ended:
    """Call the function in a child, which has all that this process imported.

    A UserError is printed, and the exit code is 1.

    Parameters
    ----------
    function : callable
    fault : str, optional
        One of :data:`kernel_faults.FAULTS`.
    user : int, optional
        The child is this user, and in the group GROUP.
    umask : int
    may_read : bool
        The user may read everything, such as the modules of a Python in the home of root.
    """
    began = time.monotonic()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            _become(write, fault, user, umask, may_read)
            code = _exit_code(function)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(write)
    with open(read, encoding="utf-8") as terminal:
        said = terminal.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(code, said, time.monotonic() - began)


def _become(terminal: int, fault: str | None, user: int | None, umask: int, may_read: bool) -> None:
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    logging.getLogger().handlers.clear()  # those of pytest
    os.umask(umask)
    if user is not None:
        os.environ["LOGNAME"] = f"user{user}"  # the machine does not know the user
        libc = ctypes.CDLL(None)
        os.setgroups([])
        os.setgid(GROUP)
        libc.prctl(PR_SET_KEEPCAPS, int(may_read))
        os.setuid(user)
        if may_read:
            header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
            kept = struct.pack("6I", *[1 << CAP_DAC_READ_SEARCH] * 2, *[0] * 4)
            assert libc.capset(header, kept) == 0
    if fault:
        inject(fault)


def _exit_code(function: Callable[[], object]) -> int:
    try:
        function()
    except SystemExit as ended:
        return ended.code or 0
    except UserError as error:
        print(error)
        return 1
    except BaseException:
        traceback.print_exc()
        return 99
    return 0


@contextmanager
def group_folder() -> Iterator[Path]:
    """Yield a folder in which all of the group GROUP may write; what is new belongs to the group.

    The folders of pytest are for one user only.
    """
    folder = Path(tempfile.mkdtemp(prefix="group", dir="/tmp"))
    try:
        os.chown(folder, FIRST_USER, GROUP)
        folder.chmod(0o2775)
        yield folder
    finally:
        shutil.rmtree(folder)
