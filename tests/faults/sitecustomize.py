"""Lets one of the workflow's programs fail. Python imports this when it starts, from PYTHONPATH.

The programs stay as they are: an edit would change their checksums, and so what runs again. The
variable FAULT has the program, the moment and the kind of failure. The moment is ``start``, ``end``
or a number: the program fails when it has written so many files.
"""

import atexit
import os
import signal
import sys
import time


def fail() -> None:
    """End this process, or more than that."""
    if KIND == "exit":
        os._exit(1)
    if KIND == "exception":
        raise RuntimeError("an injected failure")
    if KIND == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    # Snakemake, its shell and this program are one process group.
    os.killpg(0, signal.SIGINT if KIND == "interrupted" else signal.SIGKILL)
    time.sleep(60)


def counted(replace):
    """Return os.replace, but failing when as many files were written as FAULT says."""
    left = int(MOMENT)

    def replace_or_fail(source, target, **options):
        nonlocal left
        if left == 0:
            fail()
        left -= 1
        replace(source, target, **options)

    return replace_or_fail


PROGRAM, MOMENT, KIND = os.environ.get("FAULT", "none,start,exit").split(",")
if any(argument.endswith(f"/{PROGRAM}.py") for argument in sys.orig_argv[1:2]):
    if MOMENT == "start":
        fail()
    elif MOMENT == "end":
        atexit.register(fail)
    else:
        os.replace = counted(os.replace)
