"""Print a registration receipt as three lines."""

import argparse
import json
import os
import sys
from pathlib import Path


def summary(receipt: dict, mlflow: str) -> str:
    """Return three lines: the registered version, its accuracy, and where to look at it.

    Parameters
    ----------
    receipt : dict
        The content of registered.json.
    mlflow : str
        The path of the mlflow command.
    """
    uri = receipt.get("portal_url") or receipt["registry_uri"]
    look = uri if uri.startswith("http") else f"{mlflow} ui --backend-store-uri {uri}"
    return (
        f"registered  {receipt['name']} version {receipt['version']}\n"
        f"accuracy    {receipt['metrics']['accuracy']:.4f} on the test set, "
        f"at regularization rate {receipt['metrics']['regularization_rate']:g}\n"
        f"look at it  {look}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="show_receipt.py", description=__doc__)
    parser.add_argument("receipt", type=Path, help="registered.json")
    receipt = json.loads(parser.parse_args().receipt.read_text(encoding="utf-8"))
    print(summary(receipt, os.path.relpath(Path(sys.executable).parent / "mlflow")))
