"""Write the metrics, the receipt and the run times as HTML tables for the report."""

import image_workflow.start  # noqa: F401

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from image_workflow.command import log, run
from image_workflow.files import replacing
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import COMMON_SETTINGS, DataSet, Metrics, Receipt

TABLES = "overview", "metrics", "receipt", "run_times"
#: A job of this many seconds or fewer was measured only at its start, before it did anything.
FIRST_SAMPLE = 0.5
LONGEST = 150  # characters of a value that the overview and the metrics show


@dataclass(frozen=True)
class RunTime:
    """How long a job took.

    Attributes
    ----------
    name : str
    seconds : float
    memory_mib : float or None
        The largest resident set that Snakemake sampled, in MiB; None if it is not known.
    """

    name: str
    seconds: float
    memory_mib: float | None


def run_times(files: list[Path]) -> list[RunTime]:
    """Return the run times in Snakemake's benchmark files, longest first.

    Files that do not exist are left out: somebody may have copied only the results.
    """
    jobs = []
    for path in filter(Path.exists, files):
        measured = json.loads(path.read_text(encoding="utf-8"))
        is_known = measured["s"] > FIRST_SAMPLE and measured["max_rss"] != "NA"
        memory = measured["max_rss"] if is_known else None
        jobs.append(RunTime(path.stem, measured["s"], memory))
    return sorted(jobs, key=lambda job: (-job.seconds, job.name))


def own_model(receipt: Receipt) -> list[tuple[str, str]]:
    """Return the names and values of another estimator than logistic_regression, or nothing.

    Long values are cut. The receipt shows them in full.
    """
    if receipt.parameters["estimator"] == "logistic_regression":
        return []
    chosen = [item for item in receipt.parameters.items() if item[0] not in COMMON_SETTINGS]
    rows = [("Estimator", receipt.parameters["estimator"]), *chosen]
    return [(name, text if len(text) <= LONGEST else f"{text[:LONGEST]}...") for name, text in rows]


def render(
    templates: Path, metrics: Metrics, receipt: Receipt, data_set: DataSet, jobs: list[RunTime]
) -> dict[str, str]:
    """Return the HTML of each table, by its name.

    Parameters
    ----------
    templates : pathlib.Path
        The folder with NAME.html.jinja for each table.
    """
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = {"metrics": metrics, "receipt": receipt, "data_set": data_set, "jobs": jobs}
    content["own_model"] = own_model(receipt)
    return {name: environment.get_template(f"{name}.html.jinja").render(content) for name in TABLES}


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(
        options.record, [options.metrics, options.receipt, options.dataset_file]
    )
    metrics, receipt = Metrics.read(options.metrics), Receipt.read(options.receipt)
    data_set = DataSet.read(options.dataset_file)
    tables = render(options.templates, metrics, receipt, data_set, run_times(options.benchmarks))
    outputs = [options.output / f"{name}.html" for name in tables]
    with replacing(*outputs) as parts:
        for part, html in zip(parts, tables.values(), strict=True):
            part.write_text(html, encoding="utf-8")
    write_record(options.record, outputs=outputs, inputs=inputs)
    log.info("%s: %s", options.output, ", ".join(tables))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="summarize.py", description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json")
    parser.add_argument("--receipt", type=Path, required=True, help="registered.json")
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--benchmarks", type=Path, nargs="+", help="benchmark files")
    parser.add_argument("--templates", type=Path, required=True, help="folder of the templates")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    add_record_option(parser)
    run(parser, main)
