"""Call a scoring script as Azure ML's server does: `scoring_server.py score.py`.

It reads a request from each line of its input, and writes an answer to each line of its output.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from pathlib import Path


def main(script: Path) -> None:
    """Call init() once, and run() for each request."""
    answers = sys.stdout
    # What the script prints goes to the log.
    sys.stdout = sys.stderr
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location("entry_module", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        status, text = answer(module, json.loads(line))
        print(json.dumps({"status": status, "text": text}), file=answers, flush=True)


def answer(module, request: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    try:
        found = module.run(request)
    except Exception:
        traceback.print_exc()
        return 500, "An unexpected error occurred in the scoring script."
    # AMLResponse is a response of Flask.
    if hasattr(found, "status_code"):
        return found.status_code, found.get_data(as_text=True)
    return 200, found if isinstance(found, str) else json.dumps(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
