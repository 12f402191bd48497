"""Read images from CSV files, one row an image, as Kaggle has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from image_workflow.conversion.parts import Part, numbered
from image_workflow.conversion.pixels import as_bytes
from image_workflow.data import idx, kinds
from image_workflow.errors import UserError

ROWS = 10_000  # rows to read at once
# Words such as NA and None may be names of classes.
CELLS = {"keep_default_na": False, "na_values": [""], "index_col": False}
LABEL_COLUMNS = ["label", "labels", "class", "target", "y"]


def read_table(path: Path) -> Part:
    """Read a CSV file, gzipped or not.

    The labels are in the column ``label``, ``class``, ``target`` or ``y``. Without a header, they
    are in the first column. A first column without a name counts the rows, and is left out.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    UserError
        If the file is not such a table.
    """
    column, has_header = _label_column(path)
    if column is None:
        raise UserError(
            f"expected a column of labels in {path}, called {', '.join(LABEL_COLUMNS)}, found "
            "none. Add it, or choose a file that has one."
        )
    images, labels = [], []
    header = 0 if has_header else None
    with _csv_errors(path), idx.opened(path) as file:
        chunks = pd.read_csv(file, header=header, chunksize=ROWS, **CELLS)
        for chunk in tqdm(chunks, desc=path.name, unit="chunk", leave=False, disable=None):
            if chunk.empty:
                raise UserError(f"expected a row for each image in {path}, found none.")
            _check_cells(chunk, path)
            labels.append(chunk.iloc[:, column].to_numpy())
            pixels = chunk.drop(columns=chunk.columns[column])
            if str(pixels.columns[0]).startswith("Unnamed"):
                pixels = pixels.iloc[:, 1:]
            images.append(as_bytes(_numbers(pixels, path), str(path)))
    return numbered(np.concatenate(images), np.concatenate(labels), str(path))


def has_labels(path: Path) -> bool:
    """Tell whether a CSV file has a column of labels."""
    return _label_column(path)[0] is not None


def _label_column(path: Path) -> tuple[int | None, bool]:
    """Return the number of the column of labels, and whether the file has a header."""
    with _csv_errors(path), idx.opened(path) as file:
        kind = idx.described(idx.beginning(path))
        if kind.remedy not in ("", kinds.TABLE):
            raise UserError(f"{path} is {kind.name}, not a CSV file of images. {kind.remedy}")
        first = pd.read_csv(file, header=None, nrows=1, dtype=str, **CELLS).iloc[0].tolist()
    if len(first) == 1:
        raise UserError(
            f"expected values that are separated by commas in {path}, found one value in the first "
            "row. Save the table with commas."
        )
    names = [str(name).strip().lower() for name in first]
    if label := next((name for name in LABEL_COLUMNS if name in names), None):
        return names.index(label), True
    if all(map(_is_number, first[1:])):
        return 0, False
    return None, True


@contextmanager
def _csv_errors(path: Path) -> Iterator[None]:
    """Turn errors of pandas about a file's content into one sentence."""
    try:
        yield
    except idx.IdxError as error:
        raise UserError(f"{path} cannot be read: {error} {error.remedy}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as a CSV file of images ({str(error).strip()}). Expected one "
            "row for each image, with its label and its pixels, in UTF-8."
        ) from error


def _numbers(pixels: pd.DataFrame, path: Path) -> np.ndarray:
    """Return the columns of pixels as an array, whole numbers of the type float as integers."""
    texts = [str(name) for name, kind in pixels.dtypes.items() if kind.kind not in "iufb"]
    if texts:
        raise UserError(
            f"expected numbers in all columns of pixels in {path}, found texts in "
            f"{', '.join(texts[:5])}. Remove the columns that are no pixels."
        )
    array = pixels.to_numpy()
    if array.dtype.kind == "f" and array.max() > 1 and np.array_equal(array, np.rint(array)):
        return array.astype(np.int64)
    return array


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
