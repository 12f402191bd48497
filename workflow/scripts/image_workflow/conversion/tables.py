"""Read images from CSV files, one row an image, as Kaggle has them."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from image_workflow.conversion.parts import Part, numbered
from image_workflow.conversion.pixels import as_bytes
from image_workflow.errors import UserError

ROWS = 10_000  # rows to read at once
LABEL_COLUMNS = ["label", "labels", "class", "target", "y"]


def read_table(path: Path) -> Part:
    """Read a CSV file, gzipped or not.

    The labels are in the column ``label``, ``class``, ``target`` or ``y``. Without a header, they
    are in the first column.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    UserError
        If the file is not such a table.
    """
    try:
        column, has_header = _label_column(path)
        if column is None:
            raise UserError(
                f"expected a column of labels in {path}, called {', '.join(LABEL_COLUMNS)}, found "
                "none. Add it, or choose a file that has one."
            )
        images, labels = [], []
        chunks = pd.read_csv(path, header=0 if has_header else None, chunksize=ROWS)
        for chunk in tqdm(chunks, desc=path.name, unit="chunk", leave=False, disable=None):
            _check_cells(chunk, path)
            labels.append(chunk.iloc[:, column].to_numpy())
            pixels = chunk.drop(columns=chunk.columns[column]).to_numpy()
            images.append(as_bytes(pixels, str(path)))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as a CSV file of images ({str(error).strip()}). Expected one "
            "row for each image, with its label and its pixels."
        ) from error
    return numbered(np.concatenate(images), np.concatenate(labels), str(path))


def has_labels(path: Path) -> bool:
    """Tell whether a CSV file has a column of labels."""
    return _label_column(path)[0] is not None


def _label_column(path: Path) -> tuple[int | None, bool]:
    """Return the number of the column of labels, and whether the file has a header."""
    first = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].tolist()
    if all(map(_is_number, first[1:])):
        return 0, False
    names = [str(name).strip().lower() for name in first]
    return next((names.index(name) for name in LABEL_COLUMNS if name in names), None), True


def _is_number(cell: object) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _check_cells(chunk: pd.DataFrame, path: Path) -> None:
    empty = chunk.isna().any(axis=1)
    if empty.any():
        raise UserError(
            f"expected a value in each cell of {path}, found an empty one in image "
            f"{empty.idxmax() + 1}."
        )
