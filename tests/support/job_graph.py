"""The jobs of the workflow, written down by hand, to compare what Snakemake plans with."""

from collections.abc import Iterable

#: The files of each job below results/, without its record.
OUTPUTS = {
    "download_train": ["raw/train-images-idx3-ubyte.gz", "raw/train-labels-idx1-ubyte.gz"],
    "download_t10k": ["raw/t10k-images-idx3-ubyte.gz", "raw/t10k-labels-idx1-ubyte.gz"],
    "parse_train": ["arrays/train-images.npy", "arrays/train-labels.npy"],
    "parse_test": ["arrays/test-images.npy", "arrays/test-labels.npy"],
    "describe": ["dataset.json"],
    "train": ["model.pkl", "training.json", "sweep.json"],
    "evaluate": ["metrics.json"],
    "preview": ["preview.png"],
    "draw_class_balance": ["class_balance.png"],
    "draw_confusion": ["confusion.png"],
    "draw_mistakes": ["mistakes.png"],
    "draw_weights": ["weights.png"],
    "draw_sweep": ["sweep.png"],
    "register": ["registered.json"],
}
#: The job that makes each of these files.
MAKERS = {name: job for job, names in OUTPUTS.items() for name in names}
#: The jobs that read a job's files. Own images have one job, convert, instead of two downloads.
READERS = {
    "convert": ["parse_train", "parse_test", "describe"],
    "download_train": ["parse_train"],
    "download_t10k": ["parse_test"],
    "parse_train": ["describe", "train", "preview", "register"],
    "parse_test": ["describe", "train", "evaluate", "draw_mistakes", "register"],
    "describe": [
        *("evaluate", "preview", "draw_class_balance", "draw_mistakes", "draw_weights"),
        *("register", "predict"),
    ],
    "train": ["evaluate", "draw_mistakes", "draw_weights", "draw_sweep", "register", "predict"],
    "evaluate": ["draw_confusion", "register"],
    "preview": ["register"],
    "draw_class_balance": ["register"],
    "draw_confusion": ["register"],
    "draw_mistakes": ["register"],
    "draw_weights": ["register"],
    "draw_sweep": ["register"],
    "register": ["summarize"],
    "summarize": ["report"],
    "report": [],
    "predict": [],
}
#: The jobs of the rules that have two.
JOBS = {"download": ["download_train", "download_t10k"], "parse": ["parse_train", "parse_test"]}
#: The jobs that a run has only on demand: those of the report, and of predictions.
ON_DEMAND = {"summarize", "report", "predict"}


def jobs_of(rules: Iterable[str]) -> set[str]:
    """Return the jobs of rules."""
    return {job for rule in rules for job in JOBS.get(rule, [rule])}


def repeated(*jobs: str, without: Iterable[str] = ON_DEMAND) -> set[str]:
    """Return these jobs and all that follow from them, without jobs that a call does not have."""
    found, waiting = set(), list(jobs)
    while waiting:
        job = waiting.pop()
        if job not in found and job not in without:
            found.add(job)
            waiting += READERS[job]
    return found
