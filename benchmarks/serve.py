"""Measure how fast the server of `make serve` answers, and what the model has of it.

Requests of 1, 100 and 10,000 test images go to the server one after the other, over one connection.
Beside it are the classifier called in this process, and the same server with a script that answers
a constant. Needs the results of `make run` and the environment of `make serve`. Prints a table and
writes benchmarks/serve.json.
"""

import argparse
import http.client
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Before the folder of this file, because tools/serve.py has the same name.
sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))

import numpy as np

import serve
from image_workflow.inference.model_input import INPUT_FILE
from image_workflow.lineage.results import DataSet
from image_workflow.models.loading import classifier_of_results
from measure import TOP, save, table

REQUESTS = {1: 2000, 100: 200, 10_000: 20}  # by the number of images
CONSTANT = "def init():\n    pass\n\n\ndef run(raw):\n    return {'labels': ['7']}\n"


@contextmanager
def running(python: Path, folder: Path, script: Path) -> Iterator[http.client.HTTPConnection]:
    """Run the server with a script in the block, and yield a connection to it."""
    listener = serve.listening(0)
    port = listener.getsockname()[1]
    with serve.inference_server(python, folder, listener, script) as (_, messages):
        serve.wait_until_it_answers(port, messages)
        connection = http.client.HTTPConnection(serve.HOST, port)
        yield connection
        connection.close()


def post(connection: http.client.HTTPConnection, body: bytes) -> None:
    """Send a request, and read the answer."""
    connection.request("POST", "/score", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"the server answered {answer.status}: {content[:200]!r}")


def seconds_of(function: Callable, argument: object, repetitions: int) -> list[float]:
    """Return the seconds of each call, after two that are not counted."""
    found = []
    for _ in range(repetitions + 2):
        began = time.perf_counter()
        function(argument)
        found.append(time.perf_counter() - began)
    return found[2:]


def main(options: argparse.Namespace) -> None:
    results = options.results
    classifier = classifier_of_results(results, None)
    test_images = np.load(results / "arrays/test-images.npy")
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = folder / "model/1"
        model.mkdir(parents=True)
        shutil.copy(results / "model.pkl", model)
        DataSet.read(results / "dataset.json").model_input().write(model / INPUT_FILE)
        (folder / "constant.py").write_text(CONSTANT)
        scripts = serve.SCRIPTS / "score.py", folder / "constant.py"
        ours, bare = (
            stack.enter_context(running(options.python, folder, script)) for script in scripts
        )
        for count, repetitions in REQUESTS.items():
            images = np.resize(test_images, (count, *test_images.shape[1:]))
            body = json.dumps({"data": images.reshape(count, -1).tolist()}).encode()
            contestants = {
                "the server": (lambda body: post(ours, body), body),
                "the same server, a constant answer": (lambda body: post(bare, body), body),
                "the classifier in process, no JSON": (classifier.predict, images),
            }
            for name, (function, argument) in contestants.items():
                for connection in (ours, bare):
                    connection.close()  # The server has closed it, and the next request opens it.
                seconds = seconds_of(function, argument, repetitions)
                p50, p99 = np.percentile(seconds, [50, 99])
                rows.append(
                    {
                        "images": count,
                        "what": name,
                        "p50_ms": 1000 * p50,
                        "p99_ms": 1000 * p99,
                        "images_a_second": count * len(seconds) / sum(seconds),
                    }
                )
                print(f"{count} images, {name}: {1000 * p50:.2f} ms", file=sys.stderr, flush=True)
    table(
        ["images in a request", "what answers", "p50 ms", "p99 ms", "images a second"],
        (
            [
                f"{row['images']:,}",
                row["what"],
                f"{row['p50_ms']:,.1f}",
                f"{row['p99_ms']:,.1f}",
                f"{row['images_a_second']:,.0f}",
            ]
            for row in rows
        ),
    )
    save("serve", {}, rows=rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="serve.py", description=__doc__)
    parser.add_argument("--results", type=Path, default=TOP / "results")
    parser.add_argument("--python", type=Path, default=TOP / ".venv-serve/bin/python")
    main(parser.parse_args())
