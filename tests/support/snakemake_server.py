"""Run Snakemake in a process that has imported it already.

The import takes most of the time of a call that has little to do, and the tests make hundreds of
calls. Each call is a new process, forked from a server that has only imported modules.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *("snakemake.cli", "snakemake.api", "snakemake.dag", "snakemake.persistence"),
        *("snakemake.executors.local", "snakemake.scheduling.greedy", "snakemake.scheduling.milp"),
        # Snakemake imports these later, in every call.
        *("snakemake.profiles", "snakemake.report.html_reporter", "smart_open"),
        *("jsonschema", "pandas"),
    ]
)


def run_snakemake(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess:
    """Run Snakemake to its end, as the leader of a process group of its own.

    Parameters
    ----------
    arguments : list of str
        The arguments of the command line.
    folder : pathlib.Path
        The working directory.
    environment : dict of str
        All environment variables.
    """
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as readers:
        pipes = [str(Path(temporary, name)) for name in ("stdout", "stderr")]
        for pipe in pipes:
            os.mkfifo(pipe)
        process = _context.Process(target=_call, args=(arguments, folder, environment, pipes))
        process.start()
        # The jobs write to the same pipes, so the pipes end when no job is left.
        output = list(readers.map(lambda pipe: Path(pipe).read_text(encoding="utf-8"), pipes))
        process.join()
        return subprocess.CompletedProcess(arguments, process.exitcode, *output)


def _call(
    arguments: list[str], folder: Path, environment: dict[str, str], pipes: list[str]
) -> None:
    """Become a Snakemake that writes to the pipes; the server forks a process for this."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((0, os.devnull), (1, pipes[0]), (2, pipes[1])):
        file = os.open(path, os.O_RDONLY if stream == 0 else os.O_WRONLY)
        os.dup2(file, stream)
        os.close(file)
    # Import the modules of the checkout, not those that pytest tests.
    sys.path[:] = [path for path in sys.path if not path.endswith("workflow/scripts")]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main

    main(arguments)
