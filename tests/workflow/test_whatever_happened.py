"""A call that succeeds leaves what a fresh clone would have made, whatever happened before.

The tests make random sequences of calls with different configurations and targets, of failures in
each program, and of deleted or altered files and pictures, with the real Snakemake on small data.
After each call with exit code 0, all results of its target are compared with those of a fresh
checkout. One of the data sets is a folder of the user's own pictures, and one of the estimators is
a file of the user's own.

``make test-changes`` runs the same sequences each time. ``make test-long`` runs random sequences
for an hour, or for the number of minutes in the variable MINUTES.
"""

import itertools
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from history import (
    ESTIMATORS,
    FILES,
    NEEDED,
    OWN_ESTIMATOR,
    SEVERAL,
    SINGLE,
    VERSIONS,
    FreshRuns,
    History,
)

MINUTES = float(os.environ.get("MINUTES", 0))
# The number of random sequences for each state machine.
EXAMPLES = int(os.environ.get("EXAMPLES", 2))

NAIVE_BAYES = {"estimator": "sklearn.naive_bayes.BernoulliNB"}
CONFIGURATIONS = [
    {"dataset": "small", "regularization": SINGLE},
    {"dataset": "misspelt", "regularization": SINGLE},
    {"dataset": "small", "regularization": 2},
    {"dataset": "small", "regularization": SEVERAL, "seed": 7},
    {"dataset": "named", "regularization": SINGLE},
    {"dataset": "mine", "regularization": SINGLE},
    {"dataset": "small", **OWN_ESTIMATOR},
]
if MINUTES:
    CONFIGURATIONS += [
        {"dataset": "small", "regularization": SEVERAL},
        {"dataset": "small", "regularization": SINGLE, "seed": 7},
        {"dataset": "small", "regularization": SINGLE, "solver": "liblinear"},
        {"dataset": "small", "regularization": SINGLE, "model_name": "other"},
        {"dataset": "small", "regularization": SINGLE, "preview_images": 5},
        {"dataset": "mine", "regularization": SEVERAL},
        {"dataset": "digits", "regularization": SINGLE},
        {"dataset": "digits", "regularization": SEVERAL},
        {"dataset": "digits", "regularization": 2, "solver": "liblinear", "seed": 7},
        {"dataset": "misspelt", "regularization": SEVERAL},
        {"dataset": "small", "parameters": "{alpha: [0.1, 2]}", **NAIVE_BAYES},
        {"dataset": "small", "parameters": "{alpha: 2}", **NAIVE_BAYES},
        {"dataset": "mine", "seed": 7, **OWN_ESTIMATOR},
    ]
WORKING = [each for each in CONFIGURATIONS if each["dataset"] != "misspelt"]

# ---- Failures ------------------------------------------------------------------------------

# The number of files that each program writes, including its record.
WRITTEN = {
    "download": 3,
    "convert": 6,
    "parse": 3,
    "describe": 2,
    "preview": 2,
    "train": 4,
    "draw_sweep": 2,
    "draw_confusion": 2,
    "draw_weights": 2,
    "evaluate": 2,
    "register": 2,
}
KINDS_OF_FAILURE = "exit", "exception", "killed", "interrupted", "all killed"


@st.composite
def faults(draw) -> str | None:
    """Return a value of FAULT, see faults/sitecustomize.py, or None in a quarter of all cases."""
    if draw(st.integers(0, 3)) == 3:
        return None
    # Prefer the programs that run after each change. Most calls do not run the others.
    program = draw(st.sampled_from([*WRITTEN, "train", "train", "evaluate", "register"]))
    moment = draw(st.sampled_from(["start", "end", *map(str, range(WRITTEN[program]))]))
    return ",".join([program, moment, draw(st.sampled_from(KINDS_OF_FAILURE))])


@pytest.fixture(scope="module")
def fresh_runs(tmp_path_factory: pytest.TempPathFactory) -> FreshRuns:
    return FreshRuns(tmp_path_factory.mktemp("fresh"))


CHANGES = "delete", "touch", "empty", "truncate", "append", "edit", "backup", "restore"


class CallsAndFailures(RuleBasedStateMachine):
    """A sequence of calls, each with or without a failure."""

    fresh_runs: FreshRuns

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.fresh_runs.folder))
        self.history = History(self.folder / "checkout", self.fresh_runs)
        self.configuration = CONFIGURATIONS[0]

    @initialize(configuration=st.sampled_from([None, *WORKING]), number=st.integers(0, 9))
    def start(self, configuration, number):
        # Skip the simplest example of Hypothesis, which repeats the same call.
        hypothesis.assume(number > 0)
        if configuration:
            self.history.start_with(configuration)
            self.configuration = configuration

    def call_until_it_succeeds(self, target: str, fault: str | None) -> None:
        """Call with the fault, and then without it until the call succeeds, at most twice."""
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

    @rule(
        configuration=st.sampled_from(WORKING),
        program=st.sampled_from(["train", "train", "evaluate", "register"]),
    )
    def change_fail_and_repeat(self, configuration, program):
        self.configuration = configuration
        self.call_until_it_succeeds("all", f"{program},start,exit")

    def teardown(self):
        shutil.rmtree(self.folder)


class WhateverHappens(CallsAndFailures):
    """A sequence of calls, failures and changed files."""

    @rule(
        names=st.lists(st.sampled_from(FILES), min_size=1, max_size=5), how=st.sampled_from(CHANGES)
    )
    def change_files(self, names, how):
        for name in names:
            self.history.change(name, how)

    @rule(what=st.sampled_from(["keep", "restore", "delete_metadata", "hide_or_show_the_sources"]))
    def change_more(self, what):
        getattr(self.history, what)()

    @rule(version=st.sampled_from(VERSIONS))
    def change_pictures(self, version):
        self.history.change_pictures(version)

    @rule(version=st.sampled_from(list(ESTIMATORS)))
    def change_estimator(self, version):
        self.history.change_estimator(version)

    @rule(configuration=st.sampled_from(WORKING))
    def mark_up_to_date(self, configuration):
        self.history.mark_up_to_date(configuration)


SETTINGS = hypothesis.settings(
    derandomize=True,
    max_examples=EXAMPLES,
    stateful_step_count=5,
    deadline=None,
    database=None,
    # Do not search for a shorter failing example, which would take hours.
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


def run(machine: type[CallsAndFailures], fresh_runs: FreshRuns, **settings) -> None:
    """Run a machine, and print the number of calls so far."""
    machine.fresh_runs = fresh_runs
    try:
        run_state_machine_as_test(machine, settings=hypothesis.settings(SETTINGS, **settings))
    finally:
        print(f"{History.calls} calls of snakemake, {History.failures} failed", flush=True)


@pytest.mark.skipif(MINUTES > 0, reason="make test-long runs other sequences")
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


# ---- Sequences that failed in earlier versions ------------------------------------------------


@pytest.fixture
def history(tmp_path: Path, fresh_runs: FreshRuns) -> History:
    """A checkout with all results of the small data set."""
    history = History(tmp_path / "checkout", fresh_runs)
    history.start_with(CONFIGURATIONS[0])
    return history


def test_an_unavailable_data_set_is_not_registered_with_other_data(history: History):
    misspelt = CONFIGURATIONS[0] | {"dataset": "misspelt"}
    for _ in range(3):
        assert not history.call(misspelt, "all")
    assert history.call(CONFIGURATIONS[0], "all")


@pytest.mark.parametrize("target", ["all", "metrics.json"])
def test_a_failed_training_is_repeated(history: History, target: str):
    other = CONFIGURATIONS[0] | {"regularization": 2}
    assert not history.call(other, target, "train,0,exit")
    assert history.call(other, target)


def test_going_back_after_a_failure_trains_again(history: History):
    assert not history.call(CONFIGURATIONS[0] | {"seed": 7}, "all", "train,0,exit")
    assert history.call(CONFIGURATIONS[0], "all")


def test_restored_earlier_results_are_made_again(history: History):
    history.keep()
    other = CONFIGURATIONS[0] | {"regularization": 2}
    assert history.call(other, "metrics.json")
    history.restore()
    assert history.call(other, "metrics.json")


def test_going_to_ones_own_images_and_back_leaves_nothing(history: History):
    mine = CONFIGURATIONS[0] | {"dataset": "mine"}
    assert history.call(mine, "all")
    assert history.call(CONFIGURATIONS[0], "all")
    assert history.call(mine, "dataset.json")


def test_a_failed_conversion_is_repeated(history: History):
    mine = CONFIGURATIONS[0] | {"dataset": "mine"}
    assert not history.call(mine, "metrics.json", "convert,4,exit")  # without conversion.json
    assert history.call(CONFIGURATIONS[0], "model.pkl")
    assert history.call(mine, "metrics.json")


def test_a_picture_that_changes_before_a_failure_trains_again(history: History):
    mine = CONFIGURATIONS[0] | {"dataset": "mine"}
    assert history.call(mine, "metrics.json")
    for version in ("edited", "first"):
        history.change_pictures(version)
        assert not history.call(mine, "metrics.json", "train,0,exit")
    assert history.call(mine, "metrics.json")
    history.change_pictures("edited")
    assert history.call(mine, "metrics.json")


def test_other_names_of_the_classes_are_in_every_result(history: History):
    named = CONFIGURATIONS[0] | {"dataset": "named"}
    assert not history.call(named, "metrics.json", "describe,0,exit")
    assert history.call(named, "preview.png")
    assert history.call(named, "all")
    assert history.call(CONFIGURATIONS[0], "confusion.png")


def test_a_missing_test_set_does_not_hide_a_reason_to_train(history: History):
    history.change("raw/t10k-images-idx3-ubyte.gz", "delete")
    assert history.call(CONFIGURATIONS[0] | {"regularization": 2}, "all")


def test_another_estimator_leaves_no_picture_of_the_one_before(history: History):
    own = {"dataset": "small", **OWN_ESTIMATOR}
    assert not history.call(own, "metrics.json", "train,2,exit")
    assert history.call(own, "metrics.json")
    assert history.call(CONFIGURATIONS[0], "weights.png")
