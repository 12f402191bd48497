"""Make the report: one page with the results, which opens without a network."""

import image_workflow.start  # noqa: F401

import argparse
import json
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from image_workflow.command import log, run
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record


def make_page(page: Path, snakefile: Path, configuration: dict, stylesheet: Path) -> None:
    """Let Snakemake write its report of the results in the working directory.

    This is ``snakemake --report``, which reads results and metadata, takes no lock, and runs no
    job. So it may run as a job of another Snakemake in the same folder.

    Parameters
    ----------
    page : pathlib.Path
        The HTML file to write.
    snakefile : pathlib.Path
    configuration : dict
        Replaces the values of the workflow's configuration.
    stylesheet : pathlib.Path
        CSS that is added to that of Snakemake.

    Raises
    ------
    UserError
        If Snakemake fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        values = Path(folder, "config.json")
        values.write_text(json.dumps(configuration), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "all", "summarize", "--snakefile", snakefile]
        command += ["--configfile", values, "--report", page, "--report-stylesheet", stylesheet]
        ended = subprocess.run(command, capture_output=True, text=True)
    logging.info("%s", ended.stderr)
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise UserError(f"snakemake --report failed. Its last message: {last}")


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, options.results)
    # Snakemake accepts no other ending, and temporary names of `replacing` end in .part.
    with replacing(options.output) as (part,), tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        make_page(page, options.snakefile, options.configuration, options.stylesheet)
        shutil.copyfile(page, part)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: open it in a browser", options.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__)
    parser.add_argument("--snakefile", type=Path, required=True)
    parser.add_argument(
        "--configuration", type=json.loads, required=True, help="the configuration as JSON"
    )
    parser.add_argument("--stylesheet", type=Path, required=True, help="the CSS of the page")
    parser.add_argument(
        "--results", type=Path, nargs="+", required=True, help="the files that the page shows"
    )
    parser.add_argument("--output", type=Path, required=True, help="the HTML to write")
    add_record_option(parser)
    run(parser, main)
