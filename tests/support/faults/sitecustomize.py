"""Make one of the workflow's programs fail. Python imports this module from PYTHONPATH.

The programs themselves are not edited, because an edit changes what runs again. The variable FAULT
names the program, the moment and the kind of failure. The moment is ``start``, ``end``, or the
number of files after which the program fails.
"""

import atexit
import os
import signal
import sys
import time


def fail() -> None:
    """End this process, or the whole process group."""
    if KIND == "exit":
        os._exit(1)
    if KIND == "exception":
        raise RuntimeError("an injected failure")
    if KIND == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    # Snakemake, its shell and this program are in one process group.
    os.killpg(0, signal.SIGINT if KIND == "interrupted" else signal.SIGKILL)
    time.sleep(60)


def counted(replace):
    """Return a function like os.replace that fails after the number of files in FAULT."""
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
