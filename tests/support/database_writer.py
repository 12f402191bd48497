"""A program that keeps an SQLite file locked.

It is a new process. A child would know the locks of its parent from SQLite, not from the kernel.
"""

import subprocess
import sys
from pathlib import Path

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def writer(path: Path) -> subprocess.Popen:
    """Start a program that locks a database until its input ends."""
    command = [sys.executable, "-c", WRITER, str(path)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout.readline() == "locked\n"
    return process
