"""Let the Linux kernel refuse system calls of this process, for file systems that tests lack."""

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys

# Numbers of system calls, and of the architecture, as seccomp knows them.
CALLS = {
    "x86_64": {"arch": 0xC000003E, "fcntl": 72, "flock": 73, "pwrite64": 18},
    "aarch64": {"arch": 0xC00000B7, "fcntl": 25, "flock": 32, "pwrite64": 68},
}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE, SECOND_ARGUMENT = 0, 4, 24  # offsets in the data of a filter

#: The faults: the system call, the second argument that is refused or None for all, the error.
FAULTS = {
    "no flock": [("flock", None, errno.ENOSYS)],
    "no locks": [("flock", None, errno.ENOLCK), ("fcntl", fcntl.F_SETLK, errno.ENOLCK)],
    "locks unsupported": [
        ("flock", None, errno.EOPNOTSUPP),
        ("fcntl", fcntl.F_SETLK, errno.EOPNOTSUPP),
    ],
    "disk full": [("pwrite64", None, errno.ENOSPC)],  # SQLite writes with it, and Python does not
}


def available() -> bool:
    """Return whether this machine can refuse system calls."""
    return sys.platform == "linux" and platform.machine() in CALLS


def inject(fault: str) -> None:
    """Refuse the fault's system calls from now on, in this process and its children."""
    numbers = CALLS[platform.machine()]
    program = [(LOAD, 0, 0, ARCHITECTURE), (JUMP_IF_EQUAL, 1, 0, numbers["arch"])]
    program.append((RETURN, 0, 0, ALLOW))
    for call, argument, error in FAULTS[fault]:
        refused = (RETURN, 0, 0, ERRNO | error)
        program.append((LOAD, 0, 0, NUMBER))
        if argument is None:
            program += [(JUMP_IF_EQUAL, 0, 1, numbers[call]), refused]
        else:
            program += [
                (JUMP_IF_EQUAL, 0, 3, numbers[call]),
                (LOAD, 0, 0, SECOND_ARGUMENT),
                (JUMP_IF_EQUAL, 0, 1, argument),
                refused,
            ]
    program.append((RETURN, 0, 0, ALLOW))
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(instructions)
    filters = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filters), 0, 0),
    ):
        if libc.prctl(*map(ctypes.c_ulong, arguments)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":  # kernel_faults.py FAULT COMMAND ...
    inject(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
