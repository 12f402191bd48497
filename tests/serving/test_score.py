"""score.py loads a model and answers requests, as Azure ML's server calls it."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import score
from image_workflow.inference.model_input import InputError
from image_workflow.lineage.results import DataSet
from serving import accuracy, picture


@pytest.fixture
def model_folder(registered_digits: Path, tmp_path: Path) -> Path:
    """A folder as on an endpoint: model.pkl two levels below, and the description beside it."""
    below = tmp_path / "digits/1"
    below.mkdir(parents=True)
    results = registered_digits / "results"
    shutil.copy(results / "model.pkl", below)
    DataSet.read(results / "dataset.json").model_input().write(below / "model_input.json")
    return tmp_path


@pytest.fixture
def images(registered_digits: Path) -> np.ndarray:
    return np.load(registered_digits / "results/arrays/test-images.npy")


@pytest.fixture
def loaded(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_folder))
    score.init()


def run(**request) -> dict:
    return score.run(json.dumps(request))


def test_the_test_images_give_the_accuracy_of_metrics_json(
    loaded: None, images: np.ndarray, registered_digits: Path
):
    answer = run(data=images.tolist())
    found, expected = accuracy(answer, registered_digits)
    assert found == expected
    assert answer["class_names"][:3] == ["zero", "one", "two"]
    likeliest = np.argmax(answer["probabilities"], axis=1)
    assert [answer["class_names"][at] for at in likeliest] == answer["labels"]
    # A list of numbers for each image says the same as a list of rows.
    assert run(data=images.reshape(len(images), -1).tolist()) == answer


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_a_picture_is_answered_with_what_the_model_saw(loaded: None, images: np.ndarray, kind: str):
    answer = run(picture=picture(images[0], kind))
    assert len(answer["labels"]) == len(answer["probabilities"]) == 1
    saw = np.array(answer["image"])
    assert saw.shape == (8, 8)
    assert saw.min() >= 0 and 1 < saw.max() <= 255
    # Base64 alone is taken as well.
    assert run(picture=picture(images[0], kind).partition(",")[2]) == answer


def test_the_description_may_be_beside_the_script(
    model_folder: Path, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = tmp_path / "code/score.py"
    script.parent.mkdir()
    (model_folder / "digits/1/model_input.json").rename(script.with_name("model_input.json"))
    monkeypatch.setattr(score, "__file__", str(script))
    assert score.loaded(model_folder).predict(images).class_names[9] == "nine"


def test_a_registered_version_of_mlflow_is_loaded(registered_digits: Path, images: np.ndarray):
    (file,) = registered_digits.glob("registry/artifacts/models/*/artifacts/MLmodel")
    answer = score.loaded(file.parent).predict(images).to_json()
    found, expected = accuracy(answer, registered_digits)
    assert found == expected


def test_a_folder_without_a_model_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=f"model.pkl in {tmp_path}, found neither"):
        score.loaded(tmp_path)


REFUSED = {
    "": "found an empty request. Send JSON with the header",
    "{": "found no JSON",
    "[" * 100_000: "found no JSON: maximum recursion depth",
    "9" * 5000: "found no JSON: Exceeds the limit",
    "7": "found int",
    "null": "found NoneType",
    "[]": "found list",
    "{}": "found no key",
    '{"images": []}': "found images",
    '{"data": [[0]], "picture": ""}': "found data, picture",
    '{"data": 7}': "no list",
    '{"data": {"0": 7}}': "no list",
    '{"data": "7"}': "no list",
    '{"data": []}': "found the shape",
    '{"data": [[]]}': "found the shape",
    '{"data": [7]}': "found the shape",
    '{"data": [[1, 2], [3]]}': "length",
    '{"data": [["a"]]}': "expected numbers",
    '{"data": [[null]]}': "expected numbers",
    '{"data": [[true]]}': "expected numbers",
    '{"data": [[NaN]]}': "NaN or infinity",
    '{"data": [[-Infinity]]}': "NaN or infinity",
    '{"data": [[1e999]]}': "NaN or infinity",
    '{"data": [[-1]]}': "found -1",
    '{"data": [[256]]}': "found 256",
    '{"data": [[0.5]]}': "found fractions",
    '{"data": [[1' + "0" * 400 + "]]}": "expected",
    '{"picture": 7}': "no text",
    '{"picture": ""}': "expected a picture",
    '{"picture": "data:image/png;base64,?"}': "not in base64",
    '{"picture": "data:image/png;base64,Ä"}': "not in base64",
    '{"picture": "AAAA"}': "expected a picture",
}


@pytest.mark.parametrize("request_text", REFUSED, ids=lambda text: text[:30])
def test_a_wrong_request_is_refused_with_a_sentence(loaded: None, request_text: str):
    with pytest.raises(InputError, match=REFUSED[request_text]) as error:
        score.run(request_text)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_a_truncated_picture_is_refused(loaded: None, part: float):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    file = base64.b64decode(picture(noise).partition(",")[2])
    with pytest.raises(InputError, match="picture"):
        run(picture=base64.b64encode(file[: int(len(file) * part)]).decode())


def test_a_picture_that_unpacks_to_too_many_pixels_is_refused_unread(loaded: None):
    bomb = picture(np.zeros((10_000, 10_000), np.uint8))
    assert len(bomb) < 200_000
    with pytest.raises(InputError, match="at most 50,000,000 pixels, found 10000 x 10000"):
        run(picture=bomb)
