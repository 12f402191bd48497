"""Test the settings of a training: the grid, and the way through the options of a program."""

import datetime
import json
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from sklearn.model_selection import ParameterGrid

from image_workflow.errors import UserError
from image_workflow.models.settings import TrainingSettings, parsed_parameters, values_to_try
from training import training_options, training_settings

FOREST = "sklearn.ensemble.RandomForestClassifier"
CONFIG = {
    "estimator": FOREST,
    "parameters": {},
    "regularization": 0.5,
    "validation_fraction": 0.25,
    "solver": "newton",
    "seed": 42,
}


def configured(**changes) -> TrainingSettings:
    return TrainingSettings.from_config(CONFIG | changes)


# ---- The grid ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_estimators": 5},
        {"n_estimators": [5, 2, 9], "criterion": ["gini", "entropy"], "max_depth": [None, 3]},
        {"b": [[1, 2], [3]], "a": [True, False, 1, 0], "C": {"x": 1}},
    ],
)
def test_points_are_those_of_parameter_grid_in_its_order(parameters: dict):
    settings = training_settings(estimator=FOREST, parameters=parameters)
    grid = {
        name: value if isinstance(value, list) else [value] for name, value in parameters.items()
    }
    assert settings.points() == list(ParameterGrid(grid))
    assert settings.is_sweep == (len(ParameterGrid(grid)) > 1)


def test_rates_are_one_case_of_a_grid():
    settings = training_settings(regularization=[2, 0.5, 2.0])
    assert settings.points() == [{"regularization_rate": 0.5}, {"regularization_rate": 2}]
    assert settings.varied() == ["regularization_rate"]


def test_equal_values_are_tried_once():
    assert values_to_try({"C": [1, 1.0, 1, 2], "p": [1, True, 0, False, None, None]}) == {
        "C": [1, 1.0, 2],
        "p": [1, True, 0, False, None],
    }
    assert values_to_try({"layers": [[1], [1], [1, 2]]}) == {"layers": [[1], [1, 2]]}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": []}, "parameters.alpha is an empty list; give a value, or values to try."),
        ({"alpha": [0.1, datetime.date(2020, 1, 1)]}, "parameters.alpha cannot be [0.1, datetime"),
        ({"alpha": [0.1 + n for n in range(20_000)]}, "parameters must fit into a command, with"),
        ({"alpha": {1, 2}}, "parameters.alpha cannot be {1, 2}; use numbers, texts, true,"),
    ],
)
def test_values_that_cannot_be_tried_are_refused(parameters: dict, message: str):
    with pytest.raises(UserError) as raised:
        configured(parameters=parameters)
    assert str(raised.value).startswith(message)


def test_wrong_kinds_of_names_are_left_to_the_check_of_names():
    assert values_to_try({None: 1, "b": 2, 1: 3}) == {1: [3], None: [1], "b": [2]}


def test_parameters_of_logistic_regression_are_refused():
    with pytest.raises(UserError, match="parameters cannot be set for logistic_regression, which"):
        configured(estimator="logistic_regression", parameters={"C": 1})


# ---- The options ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"class_weight": {0: 1, 7: 2.5}},
        {"max_depth": [None, 3], "bootstrap": [True, False], "max_features": ["sqrt", 0.5]},
        {"scaler__feature_range": [[0, 1], [-1, 1]], "text": "ä 'quoted' $HOME"},
    ],
)
def test_settings_survive_the_way_through_arguments(parameters: dict):
    settings = configured(parameters=parameters)
    options = training_options()
    words = iter(settings.arguments())
    for word in words:
        name = word.removeprefix("--").replace("-", "_")
        value = next(words)
        kind = {"parameters": parsed_parameters, "validation_fraction": float, "seed": int}
        setattr(options, name, kind.get(name, str)(value))
    found = TrainingSettings.from_options(options)
    assert found.points() == settings.points()
    assert found.arguments() == settings.arguments()


@pytest.mark.parametrize("text", ["[1]", "3", "null", "alpha=3", ""])
def test_parameters_that_are_no_json_object_are_refused(text: str):
    with pytest.raises(ArgumentTypeError, match="expected JSON such as"):
        parsed_parameters(text)


def test_rate_is_needed_by_logistic_regression_only():
    with pytest.raises(UserError, match="logistic_regression needs --regularization"):
        training_settings()
    assert training_settings(estimator=FOREST).points() == [{}]


# ---- The user's file -----------------------------------------------------------------------


def test_file_is_found_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text("import helper\n")
    (tmp_path / "helper.py").touch()
    expected = configured(estimator=f"{tmp_path}/mine.py:build")
    for path in ("~/mine.py:build", "$HOME/mine.py:build"):
        settings = configured(estimator=path)
        assert (settings.estimator, settings.file) == ("mine.py:build", tmp_path / "mine.py")
        assert settings.estimator_digests().keys() == {"mine.py", "helper.py"}
        assert settings.arguments() == expected.arguments()


def test_folder_of_the_file_does_not_decide_the_model(tmp_path: Path):
    found, digests = [], []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "mine.py").write_text("x = 1\n")
        settings = configured(estimator=f"{folder}/mine.py:build")
        found.append(settings)
        digests.append(settings.estimator_digests())
        assert str(tmp_path) not in json.dumps(settings.arguments())
    assert found[0] == found[1]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.py", None, "the estimator's file FOLDER/gone.py does not exist. Correct its path."),
        (".", None, "the estimator's file FOLDER cannot be imported: expected a name of letters"),
        ("my-model.py", b"", "FOLDER/my-model.py cannot be imported: expected a name of letters"),
        ("model.ipynb", b"{}", "FOLDER/model.ipynb cannot be imported: expected a name of letters"),
        ("a.py", b"x = 1\ny = (\n", "FOLDER/a.py, line 2 is not valid Python: '(' was never"),
        ("a.py", b"x = 1\x00", "FOLDER/a.py is not valid Python: source code string cannot"),
        ("a.py", b"x = '\xe9'\n", "FOLDER/a.py, line 1 is not valid Python: "),
        ("a.py", b"import b\n", "FOLDER/b.py, line 1 is not valid Python: "),
    ],
)
def test_file_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
):
    (tmp_path / "b.py").write_text("def f(:\n")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        configured(estimator=f"{tmp_path / name}:build").estimator_digests()
    assert message in str(raised.value).replace(str(tmp_path), "FOLDER")
