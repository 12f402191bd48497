"""The settings of all backends, as a program's options and as a type."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from image_workflow.errors import UserError

#: The tutorial's variables, and the keys of azureml.compute that they override.
OVERRIDES = {
    "AML_COMPUTE_CLUSTER_NAME": "name",
    "AML_COMPUTE_CLUSTER_SKU": "vm_size",
    "AML_COMPUTE_CLUSTER_MIN_NODES": "min_nodes",
    "AML_COMPUTE_CLUSTER_MAX_NODES": "max_nodes",
}


@dataclass(frozen=True)
class BackendSettings:
    """The settings that say how to train and register. None of them changes the model.

    Attributes
    ----------
    registry_uri : str
        The MLflow store of runs and model versions.
    experiment : str
        The name of the experiment, in MLflow or in Azure ML.
    azureml : dict
        The configuration's section azureml.
    """

    registry_uri: str
    experiment: str
    azureml: dict

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Self:
        """Return the settings in a program's options, see :func:`add_backend_options`."""
        return cls(options.registry_uri, options.experiment_name, json.loads(options.azureml))


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :meth:`BackendSettings.from_options` reads."""
    parser.add_argument("--registry-uri", required=True, help="the MLflow store")
    parser.add_argument("--experiment-name", required=True, help="the experiment of the runs")
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")


def compute_settings(compute: dict, environ: Mapping[str, str]) -> dict:
    """Return the section azureml.compute, overridden by the tutorial's environment variables.

    Examples
    --------
    >>> compute_settings({"max_nodes": 4}, {"AML_COMPUTE_CLUSTER_MAX_NODES": "2"})
    {'max_nodes': 2}
    """
    changed = dict(compute)
    for variable, key in OVERRIDES.items():
        if value := environ.get(variable):
            if key.endswith("_nodes"):
                if not value.isdecimal():
                    raise UserError(
                        f"{variable} must be a number of nodes, found {value!r}. "
                        f"Set it to a whole number, or unset it to use azureml.compute.{key}."
                    )
                value = int(value)
            changed[key] = value
    if changed.get("max_nodes", 1) < max(changed.get("min_nodes", 0), 1):
        raise UserError(
            f"a cluster of at least {changed['min_nodes']} and at most {changed['max_nodes']} "
            "nodes cannot run anything. Set azureml.compute.max_nodes to 1 or more, and to no "
            "less than min_nodes."
        )
    return changed
