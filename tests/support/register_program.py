"""Run register.py as a program: its exit code, and what the terminal shows."""

import runpy
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence

from checkout import TOP
from child import Ended, in_child
from image_workflow.models.settings import TrainingSettings

PROGRAM = str(TOP / "workflow/scripts/register.py")
OPTIONS = (
    *("model", "metrics", "training", "sweep", "data_folder", "dataset_file", "training_program"),
    *("environment", "configuration", "registry_uri", "experiment_name", "azureml"),
    *("model_name", "receipt"),
)


def arguments(options: Namespace) -> list[str]:
    """Return the options as the arguments of register.py, with a log beside the receipt."""
    given = ((f"--{name.replace('_', '-')}", str(getattr(options, name))) for name in OPTIONS)
    return [
        *(part for pair in given for part in pair),
        *("--pictures", *map(str, options.pictures)),
        *(["--promote"] if options.promote else []),
        *TrainingSettings.from_options(options).arguments(),
        *("--log", str(options.receipt.with_suffix(".log"))),
    ]


def run(options: Namespace, begin: Sequence[str] = ()) -> Ended:
    """Run register.py in a new process; ``begin`` is the beginning of the command line."""
    began = time.monotonic()
    ended = subprocess.run(
        [*begin, sys.executable, PROGRAM, *arguments(options)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Ended(ended.returncode, ended.stdout, time.monotonic() - began)


def run_in_child(options: Namespace, **circumstances) -> Ended:
    """Run register.py in a child that has its imports, see :func:`child.in_child`."""

    def program() -> None:
        sys.argv = [PROGRAM, *arguments(options)]
        runpy.run_path(PROGRAM, run_name="__main__")

    return in_child(program, may_read=True, **circumstances)
