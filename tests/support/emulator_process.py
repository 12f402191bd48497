"""Call one function of a test file in a client process, for either SDK.

This module and the test files of SDK v2 do not import pytest, because the environment of SDK v2
does not have it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import urllib.request
from pathlib import Path


def control(method: str, path: str, **body):
    """Send a request to the emulator's control service, and return its answer."""
    request = urllib.request.Request(
        f"{os.environ['AZUREML_EMULATOR_URL']}/_emulator/{path}", json.dumps(body).encode()
    )
    request.method = method
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.load(opener.open(request))


def capture(function, *arguments, **options) -> dict:
    """Call a function. Return its duration, and the text of its result or its exception."""
    started = time.monotonic()
    try:
        result = {"result": repr(function(*arguments, **options))}
    except Exception as error:
        result = {"error": type(error).__name__, "message": str(error)}
    return result | {"seconds": time.monotonic() - started}


def write_source() -> Path:
    """Write `emulator_script.py` and a package into the folder `source`, and return the folder."""
    source = Path("source")
    source.mkdir(exist_ok=True)
    (source / "train.py").write_text(Path(__file__).with_name("emulator_script.py").read_text())
    (source / "package").mkdir(exist_ok=True)
    (source / "package" / "module.py").write_text("value = 1\n")
    return source


def main(test_file: str, function: str, arguments: str) -> None:
    """Call a client function of a test file, and write its result to `result.json`."""
    sys.path.insert(0, str(Path(test_file).parent))
    module = importlib.import_module(Path(test_file).stem)
    result = getattr(module, function)(**json.loads(arguments))
    Path("result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
