"""Describe the data set: its images, its classes with their names, and its checksums."""

import image_workflow.start  # noqa: F401

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from image_workflow.command import log, run
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES, check_arrays, check_sets, load_arrays
from image_workflow.errors import UserError
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import Conversion, DataSet, ImageClass

BLOCK = 4096  # images to hash at once


def describe(
    arrays: dict[str, np.ndarray],
    names: dict[int, str],
    polarity: str,
    prepare: str,
    conversion: Conversion | None,
    **texts: str | None,
) -> DataSet:
    """Return the description of a data set.

    Parameters
    ----------
    arrays : dict of ndarray of uint8
        The four arrays, see :func:`image_workflow.data.arrays.load_arrays`.
    names : dict of str
        The name of each class, by its label.
    polarity : {"light_on_dark", "as_is"}
    prepare : {"mnist", "digits", "fit"}
    conversion : Conversion or None
    **texts : str or None
        ``name``, ``description`` and ``license``.
    """
    images, train, _, test = arrays.values()
    n_train, n_test = (np.bincount(labels, minlength=256).tolist() for labels in (train, test))
    return DataSet(
        **texts,
        rows=images.shape[1],
        columns=images.shape[2],
        n_train=len(train),
        n_test=len(test),
        maximum=int(images.max()),
        polarity=polarity,
        prepare=prepare,
        classes=[
            ImageClass(label, name, n_train[label], n_test[label]) for label, name in names.items()
        ],
        conversion=conversion,
        idx_sha256={file: idx.payload_sha256(arrays[name]) for name, file in IDX_FILES.items()},
    )


def named_labels(train: np.ndarray, test: np.ndarray, names: list[str]) -> dict[int, str]:
    """Return the name of each label in either set; without names, the labels as texts.

    Raises
    ------
    UserError
        If there are more or fewer names than labels.
    """
    labels = np.union1d(train, test).tolist()
    if names and len(names) != len(labels):
        raise UserError(
            f"the data set has {len(labels)} classes, but `classes` of its entry has {len(names)} "
            "names. List one name for each label, in the order of the labels."
        )
    return dict(zip(labels, names or map(str, labels), strict=True))


def remarks(
    arrays: dict[str, np.ndarray], data_set: DataSet, conversion: Conversion | None
) -> Iterator[str]:
    """Yield what the user should know about the test set, see :func:`describe`."""
    if missing := [each.name for each in data_set.classes if not each.n_test]:
        yield f"the test set has no images of {', '.join(missing)}: the model is not measured there"
    # A conversion has logged the equal images itself, with their names.
    if conversion is None:
        equal = count_equal(arrays["train-images"], arrays["test-images"])
        if equal:
            yield (
                f"{equal:,} of {data_set.n_test:,} test images are in the training set too: the "
                "accuracy of the model is overestimated"
            )


def count_equal(train: np.ndarray, test: np.ndarray) -> int:
    """Return how many test images are in the training set too.

    Parameters
    ----------
    train, test : ndarray of uint8, shape (n, rows, columns)
        May be memory maps. Only the hashes of the test images are kept in memory.
    """
    tested = list(hashes(test))
    equal = set(tested).intersection(hashes(train))
    return sum(each in equal for each in tested)


def hashes(images: np.ndarray) -> Iterator[int]:
    """Yield the hash of each image's bytes."""
    rows = images.reshape(len(images), -1)
    image = np.dtype((np.void, rows.shape[1]))
    for at in range(0, len(rows), BLOCK):
        yield from map(hash, rows[at : at + BLOCK].view(image).ravel().tolist())


def main(options: argparse.Namespace) -> None:
    for path in options.remove:
        path.unlink(missing_ok=True)
    files = [options.data_folder / f"{name}.npy" for name in IDX_FILES]
    files += [options.conversion] if options.conversion else []
    inputs = checked_inputs(options.record, files)
    entry, conversion = json.loads(options.entry), None
    arrays = load_arrays(options.data_folder)
    check_sets(options.data_folder)
    if options.conversion:
        conversion = Conversion.read(options.conversion)
        names = {int(label): name for label, name in conversion.class_names.items()}
        # Ink on paper was inverted, so that 0 is the background.
        polarity = "as_is" if conversion.polarity == "as_is" else "light_on_dark"
    else:
        names = named_labels(arrays["train-labels"], arrays["test-labels"], entry["classes"])
        polarity = entry["polarity"]
    texts = {key: entry[key] for key in ("name", "description", "license")}
    data_set = describe(arrays, names, polarity, entry["prepare"], conversion, **texts)
    if entry["files"]:
        check_arrays(
            data_set.idx_sha256, entry["files"], options.data_folder, "the data set's entry"
        )
    data_set.write(options.output)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d classes", options.output, len(names))
    for remark in remarks(arrays, data_set, conversion):
        log.warning("%s", remark)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="describe.py", description=__doc__)
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument(
        "--entry",
        required=True,
        help="what describes the data set, and the checksums of its IDX files, as JSON",
    )
    parser.add_argument(
        "--conversion", type=Path, nargs="?", help="conversion.json, if the images were converted"
    )
    parser.add_argument(
        "--remove", nargs="*", default=[], type=Path, help="files of another data set to delete"
    )
    parser.add_argument("--output", type=Path, required=True, help="dataset.json")
    add_record_option(parser)
    run(parser, main)
