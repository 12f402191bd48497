"""Whatever happened before, a call that succeeds leaves what a fresh clone would have made.

Random sequences of calls with other configurations and targets, of failures in each program, and of
files that are deleted or altered, with the real Snakemake on small data. After each call with exit
code 0 all results that its target needs are compared with those of a checkout in which nothing else
has ever happened.

``make test`` runs the same sequences each time. ``make test-long`` runs others for an hour, or for
as many minutes as the variable MINUTES says.
"""

import itertools
import json
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from checkout import Checkout
from samples import labelled_images, write_data_set

MINUTES = float(os.environ.get("MINUTES", 0))
SINGLE, SEVERAL = 0.5, "[0.5,2]"

CONFIGURATIONS = [
    {"dataset": "small", "regularization": SINGLE},
    {"dataset": "misspelt", "regularization": SINGLE},
    {"dataset": "small", "regularization": 2},
    {"dataset": "small", "regularization": SEVERAL, "seed": 7},
]
if MINUTES:
    CONFIGURATIONS += [
        {"dataset": "small", "regularization": SEVERAL},
        {"dataset": "small", "regularization": SINGLE, "seed": 7},
        {"dataset": "small", "regularization": SINGLE, "solver": "liblinear"},
        {"dataset": "small", "regularization": SINGLE, "model_name": "other"},
        {"dataset": "digits", "regularization": SINGLE},
        {"dataset": "digits", "regularization": SEVERAL},
        {"dataset": "digits", "regularization": 2, "solver": "liblinear", "seed": 7},
        {"dataset": "misspelt", "regularization": SEVERAL},
    ]
WORKING = [each for each in CONFIGURATIONS if each["dataset"] != "misspelt"]

# ---- The files of each target ---------------------------------------------------------------

KINDS = "images", "labels"
TRAIN = [f"raw/train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
TRAIN += [f"arrays/train-{kind}.npy" for kind in KINDS]
TEST = [name.replace("raw/train", "raw/t10k").replace("/train", "/test") for name in TRAIN]
MODEL = [*TRAIN, *TEST, "model.pkl", "training.json", "sweep.json"]
NEEDED = {
    "arrays/test-images.npy": TEST,
    "preview.png": [*TRAIN, "preview.png"],
    "model.pkl": MODEL,
    "metrics.json": [*MODEL, "metrics.json"],
    "sweep.png": [*MODEL, "sweep.png"],
    "registered.json": [*MODEL, "preview.png", "metrics.json", "sweep.png", "registered.json"],
}
NEEDED["all"] = NEEDED["registered.json"]
RULES = "download_train download_t10k parse_train parse_test preview train draw_sweep evaluate"
RECORDS = [f"records/{rule}.json" for rule in [*RULES.split(), "register"]]
FILES = [*NEEDED["all"], *RECORDS]

# ---- Failures ------------------------------------------------------------------------------

# How many files each program writes, its record included.
WRITTEN = {
    "download": 3,
    "parse": 3,
    "preview": 2,
    "train_on": 4,
    "draw_sweep": 2,
    "evaluate": 2,
    "register_on": 2,
}
KINDS_OF_FAILURE = "exit", "exception", "killed", "interrupted", "all killed"


@st.composite
def faults(draw) -> str | None:
    """Return what FAULT may say, see faults/sitecustomize.py; None in a quarter of all calls."""
    if draw(st.integers(0, 3)) == 3:
        return None
    # More of those that run whatever is new: most calls would miss the others.
    program = draw(st.sampled_from([*WRITTEN, "train_on", "train_on", "evaluate", "register_on"]))
    moment = draw(st.sampled_from(["start", "end", *map(str, range(WRITTEN[program]))]))
    return ",".join([program, moment, draw(st.sampled_from(KINDS_OF_FAILURE))])


# ---- What a fresh clone makes --------------------------------------------------------------


def new_checkout(folder: Path) -> Checkout:
    """Return a fresh checkout with two more data sets; the folder of one is misspelt."""
    checkout = Checkout.fresh(folder)
    entries = {}
    for name, seed in (("small", 0), ("misspelt", 1)):
        images, labels = labelled_images(90, 5, 4, classes=[0, 7, 200], seed=seed)
        data = checkout.path / "data" / name
        files = write_data_set(data, (images[:60], labels[:60]), (images[60:], labels[60:]))
        source = "data/mispelt" if name == "misspelt" else f"data/{name}"
        entries[name] = {"files": files, "sources": [{"folder": source}]}
    with open(checkout.path / "config/datasets.yaml", "a", encoding="utf-8") as registry:
        yaml.safe_dump(entries, registry)
    return checkout


class FreshRuns:
    """Checkouts that were only ever called with one configuration, and without a failure."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkouts: dict[str, Checkout] = {}

    def finished(self, configuration: dict) -> Checkout:
        """Return the checkout of a configuration, in which everything was made."""
        key = json.dumps(configuration)
        if key not in self.checkouts:
            checkout = new_checkout(self.folder / str(len(self.checkouts)))
            checkout.finish(**configuration)
            self.checkouts[key] = checkout
        return self.checkouts[key]


def named(target: str) -> list[str]:
    """Return a target as the command line names it."""
    return [] if target == "all" else [f"results/{target}"]


def content(checkout: Checkout, name: str) -> object:
    """Return what is in a result, None if it is not there; of a receipt, what has no history."""
    path = checkout.path / "results" / name
    if not path.exists():
        return None
    if name != "registered.json":
        return path.read_bytes()
    receipt = json.loads(path.read_text(encoding="utf-8"))
    return {key: receipt[key] for key in receipt.keys() - {"version", "run_id"}}


@pytest.fixture(scope="module")
def fresh_runs(tmp_path_factory: pytest.TempPathFactory) -> FreshRuns:
    return FreshRuns(tmp_path_factory.mktemp("fresh"))


# ---- A checkout in which a lot happens -----------------------------------------------------


class History:
    """A checkout, what has happened in it, and what must hold."""

    #: How many times snakemake was called, and how many of these calls failed, over all histories.
    calls = failures = 0

    def __init__(self, folder: Path, fresh_runs: FreshRuns):
        self.checkout, self.fresh_runs = new_checkout(folder), fresh_runs
        self.results, self.kept = self.checkout.path / "results", self.checkout.path / "kept"
        self.happened: list[str] = []

    def call(self, configuration: dict, target: str, fault: str | None = None) -> bool:
        """Call snakemake, and check all that must hold; tell whether it ended with exit code 0."""
        if target == "sweep.png" and configuration["regularization"] != SEVERAL:
            target = "metrics.json"  # There is no such rule.
        self.happened.append(f"call {configuration} {target} {fault}")
        faults = Path(__file__).parent / "faults"
        self.checkout.environment = {"FAULT": fault, "PYTHONPATH": str(faults)} if fault else {}
        ended = self.checkout.snakemake(*named(target), **configuration)
        History.calls += 1
        said = "\n".join([*self.happened, ended.stdout, ended.stderr])
        if ended.returncode == 0:
            assert configuration["dataset"] != "misspelt", said
            self.check(configuration, target, said)
            self.checkout.environment = {}
            again = self.checkout.finish(*named(target), **configuration)
            History.calls += 1
            assert "Nothing to be done" in again.stdout + again.stderr, said + again.stderr
        else:
            History.failures += 1
            hidden = not (self.checkout.path / "data/small").exists()
            assert fault or hidden or configuration["dataset"] == "misspelt", said
        return ended.returncode == 0

    def check(self, configuration: dict, target: str, said: str) -> None:
        """Check that all that a target needs is what a fresh clone makes."""
        fresh = self.fresh_runs.finished(configuration)
        names = set(NEEDED[target])
        if "model.pkl" in names and configuration["regularization"] != SEVERAL:
            names.add("sweep.png")  # It must not be there.
        different = [
            name for name in sorted(names) if content(self.checkout, name) != content(fresh, name)
        ]
        assert not different, f"{different} differ from a fresh clone's.\n{said}"

    def start_with(self, configuration: dict) -> None:
        """Begin where a run of this configuration has ended."""
        self.happened.append(f"start with {configuration}")
        fresh = self.fresh_runs.finished(configuration)
        for folder in (".snakemake", "results"):
            shutil.copytree(fresh.path / folder, self.checkout.path / folder)

    def call_them_up_to_date(self, configuration: dict) -> None:
        """Tell Snakemake that all results are as they should be."""
        self.happened.append(f"snakemake --touch {configuration}")
        self.checkout.environment = {}
        self.checkout.snakemake("--touch", **configuration)
        History.calls += 1

    def delete_snakemakes_records(self) -> None:
        """Delete all that Snakemake has noted."""
        self.happened.append("delete .snakemake")
        shutil.rmtree(self.checkout.path / ".snakemake", ignore_errors=True)

    def hide_or_show_the_source(self) -> None:
        """Take away where the small data set comes from, or give it back."""
        self.happened.append("hide or show the source")
        shown, hidden = (self.checkout.path / "data" / name for name in ("small", "hidden"))
        shown.rename(hidden) if shown.exists() else hidden.rename(shown)

    def keep(self) -> None:
        """Copy all results to another place."""
        self.happened.append("keep all results")
        if self.results.exists():
            shutil.rmtree(self.kept, ignore_errors=True)
            shutil.copytree(self.results, self.kept)

    def bring_back(self) -> None:
        """Replace all results by those that were kept."""
        self.happened.append("bring all results back")
        if self.kept.exists():
            shutil.rmtree(self.results, ignore_errors=True)
            shutil.copytree(self.kept, self.results)

    def change(self, name: str, how: str) -> None:
        """Delete or alter a file below results/."""
        path, backup = self.results / name, self.checkout.path / "backup" / name
        self.happened.append(f"{how} {name}")
        if how == "restore" and backup.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(backup, path)
        if not path.exists():
            return
        if how == "backup":
            backup.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, backup)
        elif how == "delete":
            path.unlink()
        elif how == "touch":
            os.utime(path)
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "truncate":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif how == "append":
            path.write_bytes(path.read_bytes() + b"0")
        elif how == "edit":
            whole = path.read_bytes()
            path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:] if whole else b"")


CHANGES = "delete", "touch", "empty", "truncate", "append", "edit", "backup", "restore"


class CallsAndFailures(RuleBasedStateMachine):
    """Any sequence of calls, each with or without a failure."""

    fresh_runs: FreshRuns

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.fresh_runs.folder))
        self.history = History(self.folder / "checkout", self.fresh_runs)
        self.configuration = CONFIGURATIONS[0]

    @initialize(configuration=st.sampled_from([None, *WORKING]), number=st.integers(0, 9))
    def start(self, configuration, number):
        # Hypothesis begins with the simplest example, which calls the same again and again.
        hypothesis.assume(number > 0)
        if configuration:
            self.history.start_with(configuration)
            self.configuration = configuration

    def call_until_it_succeeds(self, target: str, fault: str | None) -> None:
        """Call; after a failure call the same without one, twice if the first of them fails too."""
        for each in (fault, None, None):
            if self.history.call(self.configuration, target, each):
                break

    @rule(
        configuration=st.sampled_from(CONFIGURATIONS),
        wanted=st.sampled_from(list(NEEDED)),
        fault=faults(),
    )
    def call(self, configuration, wanted, fault):
        self.configuration = configuration
        self.call_until_it_succeeds(wanted, fault)

    @rule(configuration=st.sampled_from(CONFIGURATIONS), fault=faults())
    def call_once(self, configuration, fault):
        self.configuration = configuration
        self.history.call(configuration, "all", fault)

    @rule(wanted=st.sampled_from(list(NEEDED)), fault=faults())
    def call_for_another_target(self, wanted, fault):
        self.call_until_it_succeeds(wanted, fault)

    def teardown(self):
        shutil.rmtree(self.folder)


class WhateverHappens(CallsAndFailures):
    """Any sequence of calls, failures and changed files."""

    @rule(
        names=st.lists(st.sampled_from(FILES), min_size=1, max_size=5), how=st.sampled_from(CHANGES)
    )
    def change_files(self, names, how):
        for name in names:
            self.history.change(name, how)

    @rule(
        what=st.sampled_from(
            ["keep", "bring_back", "delete_snakemakes_records", "hide_or_show_the_source"]
        )
    )
    def change_more(self, what):
        getattr(self.history, what)()

    @rule(configuration=st.sampled_from(WORKING))
    def call_them_up_to_date(self, configuration):
        self.history.call_them_up_to_date(configuration)


SETTINGS = hypothesis.settings(
    derandomize=True,
    max_examples=4,
    stateful_step_count=5,
    deadline=None,
    database=None,
    # A failure says what happened; to look for a shorter one would take hours.
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


def run(machine: type[CallsAndFailures], fresh_runs: FreshRuns, **settings) -> None:
    """Run a machine, and say how many calls there were until now."""
    machine.fresh_runs = fresh_runs
    try:
        run_state_machine_as_test(machine, settings=hypothesis.settings(SETTINGS, **settings))
    finally:
        print(f"{History.calls} calls of snakemake, {History.failures} failed", flush=True)


@pytest.mark.skipif(MINUTES > 0, reason="make test-long runs others")
def test_whatever_happened(fresh_runs: FreshRuns):
    run(CallsAndFailures, fresh_runs)
    run(WhateverHappens, fresh_runs)


@pytest.mark.skipif(not MINUTES, reason="make test-long runs it")
@pytest.mark.timeout(0)
def test_whatever_happened_for_long(fresh_runs: FreshRuns, capsys: pytest.CaptureFixture):
    end, first = time.monotonic() + 60 * MINUTES, random.randrange(2**32)
    machines = itertools.cycle([CallsAndFailures, WhateverHappens])
    with capsys.disabled():
        for seed, machine in zip(itertools.count(first), machines, strict=False):
            if time.monotonic() > end:
                break
            print(f"\n{machine.__name__}, seed {seed}: ", end="")
            run(
                hypothesis.seed(seed)(machine),
                fresh_runs,
                derandomize=False,
                stateful_step_count=12,
            )


# ---- Sequences that went wrong -------------------------------------------------------------


@pytest.fixture
def history(tmp_path: Path, fresh_runs: FreshRuns) -> History:
    """A checkout in which the small data set was run up to the receipt."""
    history = History(tmp_path / "checkout", fresh_runs)
    history.start_with(CONFIGURATIONS[0])
    return history


def test_a_data_set_that_cannot_be_had_is_not_another(history: History):
    misspelt = CONFIGURATIONS[0] | {"dataset": "misspelt"}
    for _ in range(3):
        assert not history.call(misspelt, "all")
    assert history.call(CONFIGURATIONS[0], "all")


@pytest.mark.parametrize("target", ["all", "metrics.json"])
def test_a_training_that_failed_is_done_again(history: History, target: str):
    other = CONFIGURATIONS[0] | {"regularization": 2}
    assert not history.call(other, target, "train_on,0,exit")
    assert history.call(other, target)


def test_after_a_failure_one_may_go_back(history: History):
    assert not history.call(CONFIGURATIONS[0] | {"seed": 7}, "all", "train_on,0,exit")
    assert history.call(CONFIGURATIONS[0], "all")


def test_earlier_results_that_are_brought_back_are_not_taken_for_new_ones(history: History):
    history.keep()
    other = CONFIGURATIONS[0] | {"regularization": 2}
    assert history.call(other, "metrics.json")
    history.bring_back()
    assert history.call(other, "metrics.json")


def test_another_test_set_hides_no_reason_to_train(history: History):
    history.change("raw/t10k-images-idx3-ubyte.gz", "delete")
    assert history.call(CONFIGURATIONS[0] | {"regularization": 2}, "all")
