"""Measure how much the fits of different processors differ, before rounding and after.

Each BLAS kernel that this processor can run, and the newest one without NumPy's SIMD code, fits the
same models in a process of its own. Prints tables and writes benchmarks/processors.json.

The first table is about models. Before rounding, the coefficients of two processors differ a
little. A coefficient at a random place in its cell of the grid then rounds to another multiple with
probability |difference| / grid. The sum over a model is the expected number of coefficients that
differ between two processors. The table has the largest sum of all pairs.

The second table is about the sweep's candidates, which are not rounded. It has the number of images
that two processors label differently, see :func:`expected_flips`.
"""

import argparse
import functools
import itertools
import sys
import tempfile
from pathlib import Path

from measure import (
    BENCHMARKS,
    SCRIPTS,
    TOP,
    Measurement,
    alternate,
    run,
    save,
    table,
    target,
)

RATES, MIDDLE = (0.01, 0.5, 10.0), 0.5
SWEEP_RATES = (0.01, 0.1, 0.5, 2.0, 10.0)
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
NAMES = {"train-images": "images-idx3", "train-labels": "labels-idx1"}
# Upper limits: expected differing coefficients of a model, by rate, and at any other rate.
LIMITS, LIMIT = {0.01: 0.01}, 1e-3
FLIPS_LIMIT = 0.01  # upper limit: expected images that a candidate labels differently
NARROW = 0.02  # the share of images, those with the narrowest gaps, that estimates the density
BLOCK = 4096  # images to compute with at once


# ---- Measurements --------------------------------------------------------------------------


def parse(raw: Path, folder: Path) -> Path:
    """Parse the training set in a folder of gzipped IDX files; return the folder of its arrays."""
    command = [sys.executable, str(SCRIPTS / "parse.py")]
    for name, kind in NAMES.items():
        option = f"--{name.removeprefix('train-')}"
        command += [option, str(raw / f"train-{kind}-ubyte.gz")]
        command += [f"{option}-out", str(folder / f"{name}.npy")]
    run(command)
    return folder


def measured_fits(variables: dict, folder: Path, output: Path, threads: int, rates, sweep_rates):
    """Fit one data set's models and candidates on one processor, in a process of its own."""
    command = ["env", *(f"{name}={value}" for name, value in variables.items())]
    command += [sys.executable, str(BENCHMARKS / "processor_fits.py")]
    command += ["--data-folder", str(folder), "--threads", str(threads), "--output", str(output)]
    command += ["--rates", *map(str, rates), "--sweep-rates", *map(str, sweep_rates)]
    return run(command)


def fit_everywhere(
    options: argparse.Namespace, folders: dict[str, Path], temporary: Path
) -> tuple[dict[str, list[Measurement]], dict[str, dict[str, dict]]]:
    """Fit each data set on each processor; return the measurements and the saved arrays.

    The first data set is fitted at all rates, the others at the middle rate.
    """
    import numpy as np

    import kernels

    environments = kernels.environments()
    # Each kernel with all SIMD code, and the newest without any.
    *others, without_simd = (name for name in environments if "AVX-512" not in name)
    processors = [name for name in others if name.endswith("all SIMD")] + [without_simd]
    contestants, files = {}, {}
    for data, folder in folders.items():
        first = data == next(iter(folders))
        for name in processors:
            files[data, name] = temporary / f"{len(files)}.npz"
            contestants[f"{data}: {name}"] = functools.partial(
                measured_fits,
                environments[name],
                folder,
                files[data, name],
                options.threads,
                options.rates if first else [MIDDLE],
                options.sweep_rates if first else [],
            )
    measured = alternate(contestants, 1)
    return measured, {
        data: {name: dict(np.load(files[data, name])) for name in processors} for data in folders
    }


def rates_of(fits: dict[str, dict], kind: str) -> list[float]:
    """Return the rates at which one data set's models or candidates were fitted."""
    names = next(iter(fits.values()))
    return [float(name.removeprefix(kind)) for name in names if name.startswith(f"{kind} ")]


# ---- Models --------------------------------------------------------------------------------


def compare_models(fits: dict[str, dict], images, labels, rate: float) -> dict:
    """Return how much the processors' models at one rate differ, and the first one's quality.

    Parameters
    ----------
    fits : dict
        The arrays of processor_fits.py, by the processor's name.
    images, labels : ndarray
        The training set.
    rate : float
    """
    import numpy as np

    from image_workflow.newton.rounding import rounded

    weights, grids = (
        [fit[f"{name} {rate:g}"] for fit in fits.values()] for name in ("weights", "grid")
    )
    models = [rounded(W, grid) for W, grid in zip(weights, grids, strict=True)]
    pairs = list(itertools.combinations(range(len(fits)), 2))
    # Two processors should have the same grids. If not, the finer grid is used.
    expected = [
        np.sum(np.abs(weights[a] - weights[b]) / np.minimum(grids[a], grids[b])[:, None])
        for a, b in pairs
    ]
    return {
        "grids": np.log2(grids[0]).tolist(),
        "largest_difference": max(float(np.abs(weights[a] - weights[b]).max()) for a, b in pairs),
        "expected": float(max(expected)),
        "differing": max(int((models[a] != models[b]).sum()) for a, b in pairs),
        "seconds": {name: float(fit[f"seconds {rate:g}"]) for name, fit in fits.items()},
        **quality(models[0], images, labels, rate),
    }


def quality(W, images, labels, rate: float) -> dict[str, float]:
    """Return the objective of coefficients (k, d), summed over the classes, and their gradient.

    The gradient is the largest |grad f_k| / |grad f_k(0)| of all classes.
    """
    import numpy as np
    from scipy.special import expit

    from image_workflow.models.estimator import features

    total, gradients, at_zero = (W * W).sum() / 2, W.copy(), np.zeros_like(W)
    classes = np.unique(labels)
    for first in range(0, len(images), BLOCK):
        block = slice(first, first + BLOCK)
        pixels = features(images[block])
        X = np.column_stack([pixels, np.ones(len(pixels))])
        signs = np.where(labels[block, None] == classes, 1.0, -1.0)
        margins = signs * (X @ W.T)
        total += np.logaddexp(0, -margins).sum() / rate
        gradients -= (signs * expit(-margins)).T @ X / rate
        at_zero -= signs.T @ X / 2 / rate
    relative = np.linalg.norm(gradients, axis=1) / np.linalg.norm(at_zero, axis=1)
    return {"objective": float(total), "relative_gradient": float(relative.max())}


def liblinear_quality(folder: Path, images, labels, rate: float, temporary: Path) -> dict:
    """Fit the tutorial's estimator, and return the quality of its model."""
    import joblib
    import numpy as np

    from image_workflow.models.estimator import weights

    output = temporary / "liblinear.pkl"
    command = [sys.executable, str(BENCHMARKS / "one_fit.py"), "--estimator", "tutorial"]
    command += ["--data-folder", str(folder), "--regularization", str(rate)]
    run([*command, "--threads", "2", "--output", str(output)])
    return quality(np.column_stack(weights(joblib.load(output))), images, labels, rate)


# ---- Candidates ----------------------------------------------------------------------------


def expected_flips(scores, other) -> float:
    """Return how many images two processors are expected to label differently.

    The gap of an image is its best score minus its second best. Between two processors the gap
    changes by a small amount, delta. The label changes if the gap is smaller than |delta| and delta
    has the right sign. Let s be the gap with a sign that says which of the two classes is ahead.
    The density of s is about constant near 0, so an image is labelled differently with probability
    |delta| times the density of s at 0. Summed over the images that is sum |delta_i| K(s_i), where
    the kernel K estimates the density: 1 / (2 h) for gaps up to h, 0 for wider ones. So only images
    with narrow gaps count, in case their changes are unlike those of other images. The width h is
    that of the narrowest 2 % of the gaps, 200 images of 10,000.

    Parameters
    ----------
    scores, other : ndarray of shape (n, k)
        The scores of the same images on two processors.
    """
    import numpy as np

    best_two = np.argsort(scores, axis=1)[:, -2:]
    (second, best), (other_second, other_best) = (
        np.take_along_axis(each, best_two, axis=1).T for each in (scores, other)
    )
    gaps, other_gaps = best - second, other_best - other_second
    narrow = np.argsort(gaps)[: max(1, round(NARROW * len(gaps)))]
    return float(np.abs(other_gaps - gaps)[narrow].sum() / (2 * gaps[narrow].max()))


def compare_candidates(fits: dict[str, dict], images, rate: float) -> dict:
    """Return how many images the processors label differently: the expected number, and the actual.

    Both are the largest of all pairs of processors, for the held-out images and for the training
    part.
    """
    import numpy as np

    from image_workflow.models.estimator import features

    row, held_out = {}, next(iter(fits.values()))["held out"]
    weights = [fit[f"candidate {rate:g}"] for fit in fits.values()]
    row["largest_difference"] = max(
        float(np.abs(a - b).max()) for a, b in itertools.combinations(weights, 2)
    )
    for part, mask in {"held_out": held_out, "training": ~held_out}.items():
        pixels = features(images[mask])
        scores = [pixels @ W[:, :-1].T + W[:, -1] for W in weights]
        row[part] = max(expected_flips(a, b) for a, b in itertools.combinations(scores, 2))
        labels = [each.argmax(axis=1) for each in scores]
        row[f"{part}_differing"] = max(
            int((a != b).sum()) for a, b in itertools.combinations(labels, 2)
        )
    return row


# ---- Tables --------------------------------------------------------------------------------


def show_models(models: dict[str, dict]) -> None:
    """Print the table of models, and the table of their seconds."""
    print("Models: the largest difference of any two processors, before rounding and after")
    head = ["data set, rate", "grids, log2", "largest difference", "expected to differ", "differ"]
    head += ["relative gradient", "objective"]
    with_liblinear = any("liblinear" in row for row in models.values())
    head += ["liblinear's gradient", "and objective"] if with_liblinear else []
    lines = []
    for name, row in models.items():
        lines.append(
            [
                name,
                f"{min(row['grids']):.0f} to {max(row['grids']):.0f}",
                f"{row['largest_difference']:.1e}",
                f"{row['expected']:.1e}",
                str(row["differing"]),
                f"{row['relative_gradient']:.1e}",
                f"{row['objective']:.6f}",
            ]
        )
        if with_liblinear:
            reference = row["liblinear"]
            lines[-1] += [f"{reference['relative_gradient']:.1e}", f"{reference['objective']:.6f}"]
    table(head, lines)
    print("Seconds of these fits")
    processors = list(next(iter(models.values()))["seconds"])
    table(
        ["data set, rate", *processors],
        (
            [name, *(f"{row['seconds'][processor]:.1f}" for processor in processors)]
            for name, row in models.items()
        ),
    )


def show_candidates(candidates: dict[str, dict]) -> None:
    """Print the table of the sweep's candidates."""
    print("Candidates of the sweep: images that two processors label differently, the most of any")
    head = ["data set, rate", "largest difference of a coefficient", "held out: expected", "found"]
    head += ["training part: expected", "found"]
    table(
        head,
        (
            [
                name,
                f"{row['largest_difference']:.1e}",
                f"{row['held_out']:.1e}",
                str(row["held_out_differing"]),
                f"{row['training']:.1e}",
                str(row["training_differing"]),
            ]
            for name, row in candidates.items()
        ),
    )


def targets_of(models: dict[str, dict], candidates: dict[str, dict]) -> list[dict]:
    """Print which targets are met, and return them for the results."""
    targets = []
    for name, row in models.items():
        limit = LIMITS.get(float(name.split(", ")[1]), LIMIT)
        what = f"{name}: coefficients expected to differ"
        targets.append(target(what, row["expected"], limit, most=True))
        targets.append(target(f"{name}: that differ", row["differing"], 0, most=True))
        gradient = row["relative_gradient"]
        targets.append(target(f"{name}: relative gradient", gradient, 1e-5, most=True))
        if "liblinear" in row:
            difference = row["objective"] - row["liblinear"]["objective"]
            what = f"{name}: objective minus liblinear's"
            targets.append(target(what, difference, 0, most=True))
    for name, row in candidates.items():
        flips = max(row["held_out"], row["training"])
        what = f"{name}: images that a candidate is expected to label differently"
        targets.append(target(what, flips, FLIPS_LIMIT, most=True))
    return targets


# ---- Main ----------------------------------------------------------------------------------


def data_folders(options: argparse.Namespace, temporary: Path) -> dict[str, Path]:
    """Return the folders of the arrays, by the name of the data set."""
    folders = {"MNIST": options.data_folder.absolute()}
    if options.fashion.is_dir():
        folders["Fashion-MNIST"] = parse(options.fashion, temporary)
    else:
        print(f"Fashion-MNIST is left out: there is no folder {options.fashion}.")
    return folders


def main(options: argparse.Namespace) -> None:
    sys.path += [str(SCRIPTS), str(TOP / "tests/support")]
    import numpy as np

    import kernels

    if not kernels.names():
        print("This processor has no other BLAS kernels to compare with.")
        return
    models, candidates = {}, {}
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        folders = data_folders(options, temporary)
        measured, fits = fit_everywhere(options, folders, temporary)
        for data, folder in folders.items():
            images = np.load(folder / "train-images.npy", mmap_mode="r")
            labels = np.load(folder / "train-labels.npy")
            for rate in rates_of(fits[data], "weights"):
                row = models[f"{data}, {rate:g}"] = compare_models(fits[data], images, labels, rate)
                if options.liblinear:
                    row["liblinear"] = liblinear_quality(folder, images, labels, rate, temporary)
            for rate in rates_of(fits[data], "candidate"):
                candidates[f"{data}, {rate:g}"] = compare_candidates(fits[data], images, rate)
    show_models(models)
    show_candidates(candidates)
    save(
        "processors",
        measured,
        kernels={name: fit["kernels"].tolist() for name, fit in fits["MNIST"].items()},
        models=models,
        candidates=candidates,
        targets=targets_of(models, candidates),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="processors.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/arrays")
    parser.add_argument("--fashion", type=Path, default=FASHION, help="has four .gz files")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of the models")
    parser.add_argument(
        "--sweep-rates", type=float, nargs="+", default=SWEEP_RATES, help="of the candidates"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--liblinear", action="store_true", help="compare with liblinear's fits, for minutes"
    )
    main(parser.parse_args())
