"""Convert images of any supported format into the arrays of a data set."""

import logging

import numpy as np

from image_workflow.conversion.formats import read
from image_workflow.conversion.labels import checked_labels, named_classes, numbered_labels
from image_workflow.conversion.pixels import grey_bytes, light_on_dark, resized
from image_workflow.conversion.split import equal_images, stratified_split
from image_workflow.errors import UserError
from image_workflow.lineage.results import Conversion

log = logging.getLogger(__name__)

LISTED = 10  # equal images that the log names


def convert(entry: dict, threads: int) -> tuple[dict[str, np.ndarray], Conversion]:
    """Read the images of an entry, and convert them to a data set of grey images.

    Parameters
    ----------
    entry : dict
        See workflow/schemas/own_images.schema.yaml.
    threads : int
        How many pictures to read at once. The result does not depend on it.

    Returns
    -------
    dict of ndarray of uint8
        ``train-images``, ``train-labels``, ``test-images`` and ``test-labels``.
    Conversion
        What was done.

    Raises
    ------
    UserError
        If the images cannot be read, or make no data set.
    """
    if isinstance(entry.get("size"), int):
        entry = entry | {"size": [entry["size"]] * 2}
    # The shape of the images in the user's files.
    size = entry.get("size")
    stored = size[::-1] if size and entry["transposed"] else size
    source, where = read(entry | {"size": stored}, threads), entry["images"]
    parts = [source.train, *([source.test] if source.test else [])]
    labels = [checked_labels(part.labels, len(part.images), where) for part in parts]
    class_names = named_classes(*labels, names=entry.get("classes"), where=where)
    labels = [numbered_labels(each, class_names) for each in labels]
    grey = [grey_bytes(part.images, stored, where) for part in parts]
    from_colour = source.from_colour + sum(count for _, count in grey)
    ink = not (source.photographs or from_colour)
    polarity = entry.get("polarity") or ("light_on_dark" if ink else "as_is")
    images = [_oriented(each, entry, polarity) for each, _ in grey]
    names = [np.array(part.names, object) for part in parts]
    if source.test is None:
        share, seed = entry["test_share"], entry["split_seed"]
        in_test = stratified_split(images[0], labels[0], share, seed, class_names)
        images, labels, names = (
            [each[0][~in_test], each[0][in_test]] for each in (images, labels, names)
        )
    _check_shapes(*images, where, entry.get("test_images", where))
    equal = [
        [names[0][train], names[1][test]] for train, test in equal_images(images[0], images[1])
    ]
    conversion = Conversion(
        format=source.format,
        from_colour=from_colour,
        fit=entry["fit"],
        polarity=polarity,
        transposed=entry["transposed"],
        test_share=None if source.test else entry["test_share"],
        split_seed=None if source.test else entry["split_seed"],
        skipped=list(source.skipped),
        equal_images=equal,
        class_names={str(label): name for label, name in class_names.items()},
    )
    _report(images, conversion)
    keys = "train-images", "train-labels", "test-images", "test-labels"
    arrays = images[0], labels[0], images[1], labels[1]
    return dict(zip(keys, arrays, strict=True)), conversion


def _oriented(images: np.ndarray, entry: dict, polarity: str) -> np.ndarray:
    """Return the images as configured: upright, of the right size, with 0 as the background."""
    if entry["transposed"]:
        images = np.ascontiguousarray(images.swapaxes(1, 2))
    if size := entry.get("size"):
        images = resized(images, size, entry["fit"], 255 if polarity == "dark_on_light" else 0)
    return light_on_dark(images, polarity)


def _check_shapes(train: np.ndarray, test: np.ndarray, where: str, test_where: str) -> None:
    (rows, columns), test_size = train.shape[1:], test.shape[1:]
    if test_size == (rows, columns):
        return
    turned = "The test images seem to be turned. " if test_size == (columns, rows) else ""
    raise UserError(
        f"expected training and test images of one size, found {rows} x {columns} in {where} and "
        f"{test_size[0]} x {test_size[1]} in {test_where}. {turned}Set `size` of the data set to "
        "scale both."
    )


def _report(images: list[np.ndarray], conversion: Conversion) -> None:
    """Log what was converted, and what the user may not expect."""
    log.info(
        "%s: %d training and %d test images of %d x %d pixels in %d classes",
        *(conversion.format, len(images[0]), len(images[1])),
        *(*images[0].shape[1:], len(conversion.class_names)),
    )
    if conversion.from_colour:
        log.info("%d images were in colour and are grey now", conversion.from_colour)
    if conversion.skipped:
        log.info("%d files were left out", len(conversion.skipped))
    pairs = conversion.equal_images
    if pairs:
        log.info("%d test image(s) are in the training set as well:", len(pairs))
        for train, test in pairs[:LISTED]:
            log.info("  %s = %s", train, test)
        if len(pairs) > LISTED:
            log.info("  and %d more", len(pairs) - LISTED)
