"""Reproduce the model of a receipt: check out its commit, train again, and compare."""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))

import yaml

from image_workflow.backends.interface import Check
from image_workflow.command import log, run
from image_workflow.configuration import load
from image_workflow.conversion import FILE_KEYS
from image_workflow.data.idx import payload_sha256
from image_workflow.errors import UserError
from image_workflow.lineage.check_table import table
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json
from image_workflow.lineage.code import code_digest
from image_workflow.lineage.git import git_environment
from image_workflow.lineage.pins import installed_version
from image_workflow.lineage.results import DataSet, Metrics, Receipt, Sweep, Training
from image_workflow.lineage.verification import (
    compared,
    open_arrays,
    read_receipt,
    settings_of,
)
from image_workflow.models.settings import TrainingSettings

TOP = Path(__file__).parents[1]
DATA_SETS = "config/datasets.yaml"
OWN_DATA_SETS = "config/my_datasets.yaml"


# ---- The code ------------------------------------------------------------------------------


def check_out(receipt: Receipt, repository: Path, folder: Path) -> Path:
    """Clone the repository into a folder, check out the receipt's commit, and return the workflow.

    Parameters
    ----------
    receipt : Receipt
    repository : pathlib.Path
        A folder of the workflow's repository, the one that has the Snakefile.
    folder : pathlib.Path
        Must not exist.
    """
    commit = receipt.git.get("commit")
    if not re.fullmatch("[0-9a-f]{40}", commit or ""):
        raise UserError(
            "the receipt has no commit, because its model was not trained in a git checkout. It "
            "cannot be reproduced."
        )
    if git(repository, "rev-parse", "--git-dir").returncode:
        raise UserError(
            f"{repository} is no git checkout. Clone the workflow's repository, and run this there."
        )
    if git(repository, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise UserError(
            f"the receipt's commit {commit} is not in the repository {repository}. Fetch it (git "
            "fetch --all), or run this in a clone of the repository that has it."
        )
    if folder.exists():
        raise UserError(f"{folder} exists. Delete it, or name another with --folder.")
    inside = git(repository, "rev-parse", "--show-prefix").stdout.strip()
    top = git(repository, "rev-parse", "--show-toplevel").stdout.strip()
    for command in (
        ("clone", "--quiet", "--no-checkout", top, str(folder.absolute())),
        ("-C", str(folder.absolute()), "checkout", "--quiet", "--detach", commit),
    ):
        ended = git(repository, *command)
        if ended.returncode:
            raise UserError(f"git {command[0]} failed: {ended.stderr.strip()}")
    workflow = folder / inside
    if receipt.git.get("dirty"):
        check_training_code(receipt, workflow, folder)
    return workflow


def check_training_code(receipt: Receipt, workflow: Path, folder: Path) -> None:
    """Raise UserError and delete the folder unless the commit has the code of the training.

    Tracked files can differ from their commit because of an edit of config.yaml alone, which is in
    the receipt.
    """
    program, commit = workflow / "workflow/scripts/fit.py", receipt.git["commit"]
    if program.exists() and code_digest(program) == receipt.sha256.get("code"):
        log.warning("files differed from the commit, but not the code of the training")
        return
    shutil.rmtree(folder)
    raise UserError(
        f"the receipt's model was trained with code that differed from commit {commit}, and that "
        "is in no commit. It cannot be reproduced."
    )


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run git in a folder, whatever the variables that a hook has set."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=git_environment())


# ---- The configuration ---------------------------------------------------------------------


def restore(receipt: Receipt, workflow: Path, options: argparse.Namespace) -> Path:
    """Write the receipt's configuration into the workflow's folder, and return its file."""
    known = receipt.configuration
    restore_entry(receipt, workflow, dict(options.data))
    settings = settings_of(known, None, options.receipt).to_config()
    if settings["estimator"] != known["estimator"]:
        raise UserError(f"{options.receipt} is damaged: its estimator is a path.")
    if settings_of(known, None, options.receipt).file:
        settings["estimator"] = estimator_of(receipt, workflow, options)
    chosen = {"dataset": known["dataset"], "preview_images": known["preview_images"]}
    file = workflow / "reproduce.json"
    file.write_text(json.dumps(settings | chosen | {"backend": "local"}, indent=2))
    return file


def restore_entry(receipt: Receipt, workflow: Path, places: dict[str, str]) -> None:
    """Make sure that the workflow has the receipt's data set, in the places that the user names."""
    known = receipt.configuration
    name, entry, wanted = known["dataset"], known["entry"], known["own_files"]
    shipped = load(workflow / DATA_SETS).get(name)
    if shipped and not wanted:
        if shipped.get("files") != entry.get("files"):
            raise UserError(
                f"the receipt's checksums of {name} are not those of {DATA_SETS} in its commit. "
                "The receipt was altered."
            )
        return
    wanted = wanted or ["folder"]
    if places.keys() != set(wanted):
        kind = "your own files" if known["own_files"] else f"no data set of {DATA_SETS}"
        asked = " ".join(f"{key}=PATH" for key in wanted)
        raise UserError(
            f"the receipt's data set {name} is {kind}, so say where it is: --data {asked}"
        )
    found = {key: str(Path(place).expanduser().absolute()) for key, place in places.items()}
    if missing := next((place for place in found.values() if not os.path.exists(place)), None):
        raise UserError(f"--data names {missing}, which does not exist. Correct the path.")
    if not known["own_files"]:
        found = {"sources": [found]}
    kept = {key: value for key, value in entry.items() if key not in ("sources", *FILE_KEYS)}
    text = yaml.safe_dump({name: kept | found}, sort_keys=False, allow_unicode=True)
    (workflow / OWN_DATA_SETS).write_text(text, encoding="utf-8")


def estimator_of(receipt: Receipt, workflow: Path, options: argparse.Namespace) -> str:
    """Return the estimator with the path of the user's file, whose checksum is the receipt's."""
    estimator = receipt.configuration["estimator"]
    name, _, function = estimator.rpartition(":")
    expected = receipt.sha256.get("estimator")
    files = [options.estimator_file] if options.estimator_file else sorted(workflow.rglob(name))
    found = {}
    for file in files:
        settings = TrainingSettings(estimator, {}, 0, "", 0, file.absolute().parent)
        found[file] = file.name == name and sha256_of_json(settings.estimator_digests())
        if found[file] == expected:
            return f"{file.absolute()}:{function}"
    where = f"found {', '.join(map(str, found))}" if found else "the commit has no such file"
    raise UserError(
        f"the receipt's estimator is your own file {name} with sha256 {expected} together with the "
        f"modules that it imports; {where}. Name the file: --estimator-file path/to/{name}"
    )


def other_versions(receipt: Receipt) -> Iterator[str]:
    """Yield the packages of the receipt that are installed here in another version."""
    for package, expected in receipt.environment.items():
        if package.startswith("azureml-"):
            continue  # Only a job in the cloud has Azure ML's runtime.
        is_python = package == "python"
        found = platform.python_version() if is_python else installed_version(package)
        # The environment of a job in the cloud names Python's minor version only.
        if found != expected and not (is_python and found.startswith(f"{expected}.")):
            yield f"{package} {expected} in the receipt, {found or 'not installed'} here"


# ---- Train and compare ---------------------------------------------------------------------


def make(workflow: Path, configuration: Path, target: str) -> None:
    """Run Snakemake in the workflow's folder."""
    command = [sys.executable, "-m", "snakemake", target, "--quiet", "all"]
    command += ["--configfile", configuration.name]
    ended = subprocess.run(command, cwd=workflow, stdin=subprocess.DEVNULL)
    if ended.returncode:
        raise UserError(
            f"{target} could not be made in {workflow}; the lines above say why. Mend it, delete "
            f"{workflow}, and run this again."
        )


def check_data(receipt: Receipt, data_set: DataSet) -> None:
    """Raise UserError unless the data are the receipt's, before anything is trained on them."""
    check = compared("idx_sha256", receipt.idx_sha256, data_set.idx_sha256)
    if not check.holds:
        raise UserError(
            f"the data are not the receipt's: expected {check.expected} as {check.what}, found "
            f"{check.found}. Name the data that the model was trained on."
        )


def checks_of(receipt: Receipt, workflow: Path) -> Iterator[Check]:
    """Compare what was made again with the receipt."""
    results = workflow / "results"
    data_set = DataSet.read(results / "dataset.json")
    sweep, metrics = Sweep.read(results / "sweep.json"), Metrics.read(results / "metrics.json")
    code = code_digest(workflow / "workflow/scripts/fit.py")
    yield Check("code of the training", receipt.sha256["code"], code)
    for name, sha256 in data_set.idx_sha256.items():
        yield Check(name, receipt.idx_sha256.get(name, "nothing"), sha256)
    arrays = payload_sha256(*open_arrays(results / "arrays").values())
    yield Check("all arrays", receipt.sha256["data"], arrays)
    yield compared("classes", receipt.classes, data_set.to_json()["classes"])
    again = sweep.to_json() if sweep.candidates else None
    yield compared("sweep", receipt.sweep and receipt.sweep.to_json(), again)
    yield Check("model.pkl", receipt.sha256["model"], sha256_of_file(results / "model.pkl"))
    yield compared("metrics", receipt.metrics, metrics.summary())


def reasons(receipt: Receipt, differing: list[str], training: Training) -> str:
    """Return what may explain a difference."""
    found = []
    if differing:
        found.append(f"packages differ: {', '.join(differing)}")
    if receipt.machine != training.machine:
        found.append("the machine is another one")
    if receipt.deterministic is not True:
        found.append("the receipt does not say that its training is deterministic")
    return f" Possible reasons: {'; '.join(found)}." if found else ""


def main(options: argparse.Namespace) -> None:
    receipt = read_receipt(options.receipt)
    workflow = check_out(receipt, options.repository, options.folder)
    log.info("commit %s is checked out in %s", receipt.git["commit"], workflow)
    configuration = restore(receipt, workflow, options)
    differing = list(other_versions(receipt))
    for difference in differing:
        log.warning("another version: %s", difference)
    downloads = options.repository / "downloads"
    if downloads.is_dir():
        # Files there have been compared with their checksums, and will be compared again.
        (workflow / "downloads").symlink_to(downloads.absolute())
    make(workflow, configuration, "results/dataset.json")
    check_data(receipt, DataSet.read(workflow / "results/dataset.json"))
    make(workflow, configuration, "results/metrics.json")
    checks = list(checks_of(receipt, workflow))
    print(*table(checks), sep="\n")
    held = f"{sum(check.holds for check in checks)} of {len(checks)} hold"
    wrong = next((check for check in checks if not check.holds), None)
    if wrong:
        training = Training.read(workflow / "results/training.json")
        raise UserError(
            f"{held}. The first that does not is {wrong.what}: expected {wrong.expected}, found "
            f"{wrong.found}.{reasons(receipt, differing, training)}"
        )
    log.info("%s is reproduced: %s, and the model has the same bytes.", options.receipt, held)


def place(text: str) -> tuple[str, str]:
    """Return the key and the path of KEY=PATH."""
    key, equals, path = text.partition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError(f"expected KEY=PATH such as images=photos, found {text}")
    return key, path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="reproduce.py", description=__doc__)
    parser.add_argument("receipt", type=Path, help="registered.json")
    parser.add_argument(
        "--repository", type=Path, default=TOP, help="a clone of the workflow's repository"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("reproduced"), help="the new folder to work in"
    )
    parser.add_argument(
        "--data",
        type=place,
        nargs="*",
        default=[],
        metavar="KEY=PATH",
        help="where the data are that cannot be downloaded, such as images=photos",
    )
    parser.add_argument("--estimator-file", type=Path, help="your own file with the estimator")
    run(parser, main)
