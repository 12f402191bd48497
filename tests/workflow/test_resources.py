"""Each rule states what its jobs need of a cluster, and the profiles agree."""

import json
import re

import yaml

from checkout import TOP, Checkout

STATED = {"mem_mb", "disk_mb", "runtime"}
# No command prints the resources of rules whose inputs do not exist.
LIST = """include: "Snakefile"
from types import SimpleNamespace

rules_of_jobs = [rule for rule in workflow.rules if rule.shellcmd and not rule.is_handover]
print("stated:", json.dumps({rule.name: list(rule.resources.keys()) for rule in rules_of_jobs}))
print("fit:", *(FIT_MEMORY(None, SimpleNamespace(size_mb=size)) for size in (0, 1000)))
"""


def listed(checkout: Checkout, what: str, **config) -> str:
    (checkout.path / "list.smk").write_text(LIST)
    printed = checkout.finish("-n", "-s", "list.smk", dataset="digits", **config).stdout
    return re.findall(f"^{what}: (.*)", printed, re.M)[0]


def test_each_rule_states_its_resources(checkout: Checkout):
    stated = json.loads(listed(checkout, "stated"))
    assert {"parse", "score_candidate", "train", "register", "summarize"} <= stated.keys()
    missing = {rule: sorted(STATED - set(names)) for rule, names in stated.items()}
    assert {rule: names for rule, names in missing.items() if names} == {}


def test_the_memory_of_a_fit_grows_with_the_arrays(checkout: Checkout):
    assert listed(checkout, "fit", regularization=0.5) == "800 2100"
    assert listed(checkout, "fit", regularization="[0.5,2]") == "800 3100"
    assert listed(checkout, "fit", estimator="sklearn.linear_model.RidgeClassifier") == "800 20800"


def test_the_profile_for_slurm_keeps_what_the_default_sets():
    default, slurm = (
        yaml.safe_load((TOP / f"profiles/{name}/profile.yaml").read_text("utf-8"))
        for name in ("default", "slurm")
    )
    # The cores of the submit host say nothing of the nodes.
    del default["cores"]
    assert default.items() <= slurm.items()
