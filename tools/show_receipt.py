"""Print a registration receipt in three or four lines."""

import argparse
import json
from pathlib import Path
from textwrap import shorten

from ui import web_page


def summary(receipt: dict) -> str:
    """Return the registered version, its accuracy, its promotion, and where to look at it.

    Parameters
    ----------
    receipt : dict
        The content of registered.json.
    """
    lines = [
        f"registered  {receipt['name']} version {receipt['version']}",
        f"accuracy    {receipt['metrics']['accuracy']:.4f} on the test set, {model(receipt)}",
        f"look at it  {web_page(receipt) or 'make ui'}",
    ]
    if promotion := receipt.get("promotion"):
        verdict = "yes" if promotion["promoted"] else "no"
        lines.insert(2, f"champion    {verdict}: {promotion['reason']}")
    return "\n".join(lines)


def model(receipt: dict) -> str:
    """Return the model in a few words: its regularization rate, or its estimator and parameters."""
    parameters = receipt["parameters"]
    estimator = parameters["estimator"]
    if estimator == "logistic_regression":
        return f"at regularization rate {receipt['metrics']['regularization_rate']:g}"
    name = estimator if ":" in estimator else estimator.rpartition(".")[2]
    others = parameters.keys() - {"estimator", "dataset", "seed"}
    chosen = ", ".join(f"{key}={value}" for key, value in parameters.items() if key in others)
    return shorten(f"{name} with {chosen}" if chosen else name, 100, placeholder=" ...")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="show_receipt.py", description=__doc__)
    parser.add_argument("receipt", type=Path, help="registered.json")
    print(summary(json.loads(parser.parse_args().receipt.read_text(encoding="utf-8"))))
