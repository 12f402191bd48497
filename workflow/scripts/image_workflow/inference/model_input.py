"""The description of a model's input, which is stored beside the model."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

#: The file beside a model that describes its input.
INPUT_FILE = "model_input.json"


class InputError(ValueError):
    """An input that the model does not take. The message is a sentence for the user."""


@dataclass(frozen=True)
class ModelInput:
    """What a model takes, and what its answers mean.

    Attributes
    ----------
    rows, columns : int
        The size of an image in pixels.
    maximum : int
        The largest pixel of the training images.
    class_names : dict of str
        The name of each class, by its label.
    method : {"mnist", "digits", "fit"}
        How a picture becomes an image, see :mod:`image_workflow.inference.preparation`.
    fit : {"pad", "crop", "stretch"}
        How the method ``fit`` fits a picture of another shape.
    polarity : {"as_is", "light_on_dark", "dark_on_light", "from_border"}
        The polarity of the pictures that the method ``fit`` takes. ``dark_on_light`` is inverted,
        and with ``from_border`` a picture whose border is light.
    """

    rows: int
    columns: int
    maximum: int
    class_names: dict[int, str]
    method: str
    fit: str
    polarity: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the content of a file that :meth:`write` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(label): name for label, name in content["class_names"].items()}
        return cls(**content | {"class_names": names})

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=2), encoding="utf-8")
