"""Compare the solvers: whole training processes, in turn, on arrays that the workflow has made.

Prints a table of medians and ratios, and writes benchmarks/fit.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np

TOP = Path(__file__).parents[1]
SCRIPTS = TOP / "workflow/scripts"
sys.path.append(str(SCRIPTS))

from lib.model import features, predict  # noqa: E402


def measure(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command takes, and its peak resident memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 1024


def objective(model, images: np.ndarray, labels: np.ndarray, rate: float) -> float:
    """Return what liblinear minimises, summed over the classes; the intercept is penalised too."""
    pixels, total = features(images), 0.0
    for label, binary in zip(model.classes_, model.estimators_, strict=True):
        sign = np.where(labels == label, 1.0, -1.0)
        margin = sign * (pixels @ binary.coef_[0] + binary.intercept_)
        penalty = (binary.coef_**2).sum() + binary.intercept_[0] ** 2
        total += penalty / 2 + np.logaddexp(0, -margin).sum() / rate
    return total


def main(options: argparse.Namespace) -> None:
    folder, rate = options.data_folder, options.regularization
    images, labels, test_images, test_labels = (
        np.load(folder / f"{part}.npy", mmap_mode="r")
        for part in ("train-images", "train-labels", "test-images", "test-labels")
    )
    # liblinear with one thread is what the tutorial runs.
    contestants = {
        "liblinear, 1 thread": ["--solver", "liblinear", "--threads", "1"],
        "liblinear, 2 threads": ["--solver", "liblinear", "--threads", "2"],
        "newton, 2 threads": ["--solver", "newton", "--threads", "2"],
    }
    runs = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory() as temporary:
        files = {name: Path(temporary, f"{name}.pkl") for name in contestants}
        for _ in range(options.repetitions):
            for name, arguments in contestants.items():
                command = [sys.executable, str(SCRIPTS / "train.py"), "--data-folder", str(folder)]
                command += ["--regularization", str(rate), "--output", str(files[name])]
                runs[name].append(measure(command + arguments))
        # Not before: a new process begins with the peak memory of the one that started it.
        quality = {}
        for name, file in files.items():
            model = joblib.load(file)
            quality[name] = {
                "objective": objective(model, images, labels, rate),
                "accuracy": float(np.mean(predict(model, test_images) == test_labels)),
            }
    results = {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in measured),
            "all_seconds": [round(seconds, 2) for seconds, _ in measured],
            "peak_mib": statistics.median(mib for _, mib in measured),
        }
        | quality[name]
        for name, measured in runs.items()
    }
    base = results["liblinear, 1 thread"]["seconds"]
    print(f"regularization rate {rate:g}, {len(images)} images, {os.cpu_count()} cores")
    print("| solver | seconds | times faster | peak MiB | objective | accuracy |")
    print("|---|---|---|---|---|---|")
    for name, row in results.items():
        print(
            f"| {name} | {row['seconds']:.1f} | {base / row['seconds']:.1f} "
            f"| {row['peak_mib']:.0f} | {row['objective']:.3f} | {row['accuracy']:.4f} |"
        )
    machine = {"platform": platform.platform(), "cores": os.cpu_count()}
    report = {"machine": machine, "regularization": rate, "results": results}
    (TOP / "benchmarks/fit.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fit.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/arrays")
    parser.add_argument("--regularization", type=float, default=0.5)
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
