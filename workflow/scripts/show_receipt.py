"""Print a registration receipt as three lines."""

import argparse
import json
import os
import sys
from pathlib import Path

from lib.receipt import summary

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="show_receipt.py", description=__doc__)
    parser.add_argument("receipt", type=Path, help="registered.json")
    receipt = json.loads(parser.parse_args().receipt.read_text(encoding="utf-8"))
    print(summary(receipt, os.path.relpath(Path(sys.executable).parent / "mlflow")))
