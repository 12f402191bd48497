"""Print a registration receipt as three lines."""

import argparse
import json
from pathlib import Path

from ui import web_page


def summary(receipt: dict) -> str:
    """Return three lines: the registered version, its accuracy, and where to look at it.

    Parameters
    ----------
    receipt : dict
        The content of registered.json.
    """
    return (
        f"registered  {receipt['name']} version {receipt['version']}\n"
        f"accuracy    {receipt['metrics']['accuracy']:.4f} on the test set, "
        f"at regularization rate {receipt['metrics']['regularization_rate']:g}\n"
        f"look at it  {web_page(receipt) or 'make ui'}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="show_receipt.py", description=__doc__)
    parser.add_argument("receipt", type=Path, help="registered.json")
    print(summary(json.loads(parser.parse_args().receipt.read_text(encoding="utf-8"))))
