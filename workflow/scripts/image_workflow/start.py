"""Prepare a program before it imports anything else: each program imports this module first.

Python's own answer to Ctrl-C during an import is a traceback. `image_workflow.command.run` takes
over when the program begins its work.
"""

import os
import sys

from image_workflow import interrupts

# Not if a test or a tool imports a program's functions.
if os.path.dirname(os.path.realpath(sys.argv[0])) == os.path.dirname(
    os.path.dirname(os.path.realpath(__file__))
):
    interrupts.handle(interrupts.end)
    # A module in PYTHONPATH must not replace one of Python or of the environment.
    others = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    sys.path.sort(key=others.__contains__)
