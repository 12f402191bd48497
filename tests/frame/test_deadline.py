"""Test calls with a deadline: deadline.py."""

import subprocess
import sys
import time

import pytest

from checkout import TOP
from image_workflow.deadline import DeadlineError, within


def test_a_call_ends_at_its_deadline():
    assert within(5, lambda x: x + 1, 1) == 2
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
    with pytest.raises(DeadlineError, match=r"no answer in 0.05 s"):
        within(0.05, time.sleep, 1)


def test_a_hung_call_does_not_delay_the_exit():
    program = (
        "import sys, time\n"
        "from image_workflow.deadline import DeadlineError, within\n"
        "try:\n"
        "    within(0.05, time.sleep, 60)\n"
        "except DeadlineError:\n"
        "    sys.exit(3)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP / "workflow/scripts", timeout=20
    )
    assert ended.returncode == 3
