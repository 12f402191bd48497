"""Measure how far the fits of different processors are apart, before rounding and after.

Every BLAS kernel that this processor can run, and the newest without NumPy's SIMD code, fits the
same models in a process of its own. Prints two tables and writes benchmarks/processors.json.

The first table is of models. Before rounding, two processors' coefficients differ a little; a
coefficient at a random place in its cell of the grid then rounds to another multiple with
probability |difference| / grid, so the sum over a model is the expected number of coefficients that
differ between two processors. The table has the largest of all pairs.

The second table is of the sweep's candidates, which are not rounded: what counts is how many images
two processors judge differently. See :func:`expected_flips`.
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
    alternate,
    run,
    save,
    table,
    target,
)

RATES, MIDDLE = (0.01, 0.5, 10.0), 0.5
SWEEP_RATES = (0.01, 0.1, 0.5, 2.0, 10.0)
FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
LIMITS = {0.01: 0.01}  # expected differing coefficients of a model, by rate,
LIMIT = 1e-3  # and at any other rate
FLIPS_LIMIT = 0.01  # expected images of a candidate that are judged differently
NARROW = 0.02  # the share of the images, those with the narrowest gaps, that tell the density
NAMES = {"train-images": "images-idx3", "train-labels": "labels-idx1"}


def parsed(raw: Path, folder: Path) -> Path:
    """Parse the training set of a folder of gzipped IDX files; return the folder of its arrays."""
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


def model_row(fits: dict[str, dict], images, labels, rate: float) -> dict:
    """Return how far the processors' models at one rate are apart, and how good the first is.

    Parameters
    ----------
    fits : dict
        What processor_fits.py has saved, by the processor's name.
    images, labels : ndarray
        The training set.
    rate : float
    """
    import numpy as np

    from lib.newton.rounding import rounded

    weights, grids = (
        [fit[f"{name} {rate:g}"] for fit in fits.values()] for name in ("weights", "grid")
    )
    models = [rounded(W, grid) for W, grid in zip(weights, grids, strict=True)]
    pairs = list(itertools.combinations(range(len(fits)), 2))
    # Of two processors with different grids, which should not be, the finer counts.
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

    That is the largest |grad f_k| / |grad f_k(0)| of the classes.
    """
    import numpy as np

    from lib.model import features

    total, gradients, at_zero, block = (W * W).sum() / 2, W.copy(), np.zeros_like(W), 4096
    classes = np.unique(labels)
    for at in range(0, len(images), block):
        pixels = features(images[at : at + block])
        X = np.column_stack([pixels, np.ones(len(pixels))])
        signs = np.where(labels[at : at + block, None] == classes, 1.0, -1.0)
        margins = signs * (X @ W.T)
        total += np.logaddexp(0, -margins).sum() / rate
        gradients -= (signs * np.exp(-np.logaddexp(0, margins))).T @ X / rate
        at_zero -= signs.T @ X / 2 / rate
    relative = np.linalg.norm(gradients, axis=1) / np.linalg.norm(at_zero, axis=1)
    return {"objective": float(total), "relative_gradient": float(relative.max())}


def liblinear_quality(folder: Path, images, labels, rate: float, temporary: Path) -> dict:
    """Return the quality of what the tutorial's estimator finds."""
    import joblib
    import numpy as np

    from lib.model import weights

    output = temporary / "liblinear.pkl"
    command = [sys.executable, str(BENCHMARKS / "one_fit.py"), "--estimator", "tutorial"]
    command += ["--data-folder", str(folder), "--regularization", str(rate)]
    run([*command, "--threads", "2", "--output", str(output)])
    return quality(np.column_stack(weights(joblib.load(output))), images, labels, rate)


def expected_flips(scores, other) -> float:
    """Return how many images two processors may be expected to judge differently.

    The gap of an image is its best score minus its second best. Between two processors it changes
    by a small amount, delta, and the judgement changes if the gap was smaller than that and delta
    has the right sign. Let s be the gap with a sign, which says which of the two classes is ahead.
    Where s is near 0 it is about as likely at any place, so an image is judged differently with
    probability |delta| times the density of s at 0. Summed over the images that is
    sum |delta_i| K(s_i), where K estimates the density: 1 / (2 h) for gaps up to h, 0 for wider
    ones. So only the images with narrow gaps have a say, in case their changes are not like those
    of the others. The width h is that of the narrowest 2 % of the gaps, 200 images of 10,000.

    Parameters
    ----------
    scores, other : ndarray of shape (n, k)
        The scores of the same images on two processors.
    """
    import numpy as np

    last_two = np.argsort(scores, axis=1)[:, -2:]
    (second, best), (second_there, best_there) = (
        np.take_along_axis(each, last_two, axis=1).T for each in (scores, other)
    )
    gaps, there = best - second, best_there - second_there
    narrow = np.argsort(gaps)[: max(1, round(NARROW * len(gaps)))]
    return float(np.abs(there - gaps)[narrow].sum() / (2 * gaps[narrow].max()))


def candidate_row(fits: dict[str, dict], images, rate: float) -> dict:
    """Return how many images the processors may be expected to judge differently, and how many are.

    Of all pairs of processors the largest, for the held-out images and for the training part.
    """
    import numpy as np

    from lib.model import features

    found, held_out = {}, next(iter(fits.values()))["held out"]
    weights = [fit[f"candidate {rate:g}"] for fit in fits.values()]
    found["largest_difference"] = max(
        float(np.abs(a - b).max()) for a, b in itertools.combinations(weights, 2)
    )
    for part, mask in {"held_out": held_out, "training": ~held_out}.items():
        here = features(images[mask])
        scores = [here @ W[:, :-1].T + W[:, -1] for W in weights]
        found[part] = max(expected_flips(a, b) for a, b in itertools.combinations(scores, 2))
        judged = [each.argmax(axis=1) for each in scores]
        found[f"{part}_differing"] = max(
            int((a != b).sum()) for a, b in itertools.combinations(judged, 2)
        )
    return found


def fit_everywhere(options, folders: dict[str, Path], temporary: Path):
    """Let every processor fit every data set; return the measurements, and what was saved.

    The first data set is fitted at all rates, any other at the middle one.
    """
    import numpy as np

    import kernels

    environments = kernels.environments()
    # Every kernel with all SIMD code, and the newest with none.
    *most, none = (name for name in environments if "AVX-512" not in name)
    chosen = [name for name in most if name.endswith("all SIMD")] + [none]
    contestants, files = {}, {}
    for data, folder in folders.items():
        first = data == next(iter(folders))
        for name in chosen:
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
        data: {name: dict(np.load(files[data, name])) for name in chosen} for data in folders
    }


def rates_of(fits: dict[str, dict], kind: str) -> list[float]:
    """Return the rates at which one data set's models or candidates were fitted."""
    names = next(iter(fits.values()))
    return [float(name.removeprefix(kind)) for name in names if name.startswith(f"{kind} ")]


def show_models(models: dict[str, dict]) -> None:
    """Print the table of models, and that of their seconds."""
    print("Models: the most of any two processors, before rounding and after")
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
    print(
        "The sweep's candidates: images that two processors judge differently, the most of any two"
    )
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
    """Print which limits hold, and return them for the results."""
    targets = []
    for name, row in models.items():
        limit = LIMITS.get(float(name.split(", ")[1]), LIMIT)
        what = f"{name}: coefficients expected to differ"
        targets.append(target(what, row["expected"], limit, most=True))
        targets.append(target(f"{name}: that differ", row["differing"], 0, most=True))
        gradient = row["relative_gradient"]
        targets.append(target(f"{name}: relative gradient", gradient, 1e-5, most=True))
        if "liblinear" in row:
            above = row["objective"] - row["liblinear"]["objective"]
            targets.append(target(f"{name}: objective less liblinear's", above, 0, most=True))
    for name, row in candidates.items():
        flips = max(row["held_out"], row["training"])
        what = f"{name}: images of a candidate expected to be judged differently"
        targets.append(target(what, flips, FLIPS_LIMIT, most=True))
    return targets


def main(options: argparse.Namespace) -> None:
    sys.path += [str(SCRIPTS), str(TOP / "tests")]
    import numpy as np

    import kernels

    if not kernels.names():
        print("This processor has no other BLAS kernels to compare with.")
        return
    models, candidates = {}, {}
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        folders = {"MNIST": options.data_folder.absolute()}
        if options.fashion.is_dir():
            folders["Fashion-MNIST"] = parsed(options.fashion, temporary)
        else:
            print(f"Fashion-MNIST is left out: there is no folder {options.fashion}.")
        measured, fits = fit_everywhere(options, folders, temporary)
        for data, folder in folders.items():
            images = np.load(folder / "train-images.npy", mmap_mode="r")
            labels = np.load(folder / "train-labels.npy")
            for rate in rates_of(fits[data], "weights"):
                row = models[f"{data}, {rate:g}"] = model_row(fits[data], images, labels, rate)
                if options.liblinear:
                    row["liblinear"] = liblinear_quality(folder, images, labels, rate, temporary)
            for rate in rates_of(fits[data], "candidate"):
                candidates[f"{data}, {rate:g}"] = candidate_row(fits[data], images, rate)
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
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--sweep-rates", type=float, nargs="+", default=SWEEP_RATES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--liblinear", action="store_true", help="compare with its fits, which take minutes"
    )
    main(parser.parse_args())
