"""Test how the user's estimator is found, checked and made. Each error must be one sentence."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from image_workflow.errors import UserError
from image_workflow.models.own_estimator import MissingPackageError, build, check, new_estimator
from training import own_class, own_settings, training_settings

MLP = "sklearn.neural_network.MLPClassifier"
FOREST = "sklearn.ensemble.RandomForestClassifier"
SVC = "from sklearn.svm import SVC\ndef build():\n    return SVC()\n"
SCALED = """
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC, LinearSVC

def build():
    return make_pipeline(MinMaxScaler(), SVC())

def linear():
    return make_pipeline(MinMaxScaler(), LinearSVC())
"""


def refused(settings) -> str:
    """Return the one-line error of a wrong estimator."""
    with pytest.raises(UserError) as raised:
        check(settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- Import paths --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        ("MLPClassifier", f"did you mean {MLP}? it must be logistic_regression, the import path"),
        ("RandomForest", f"did you mean {FOREST}? it must be"),
        ("logistic_regresion", "did you mean logistic_regression? it must be"),
        ("my_model.py", "it must be logistic_regression, the import path of a classifier"),
        ("sklearn/svm/SVC", "it must be logistic_regression, the import path"),
        (".SVC", "did you mean sklearn.svm.SVC? it must be"),
        ("sklearn..SVC", "did you mean sklearn.svm.SVC? it must be"),
        ("sklearn.svm.SVC()", "did you mean sklearn.svm.SVC? it must be"),
        ("skleran.svm.SVC", "there is no package skleran; did you mean sklearn.svm.SVC? correct"),
        ("xgboots.XGBClassifier", "there is no package xgboots; correct the name, or install the"),
        ("sklearn.smv.SVC", "sklearn has no module smv; did you mean sklearn.svm.SVC? correct"),
        ("sklearn.svn.Mine", "sklearn has no module svn; did you mean svm? allowed: base, "),
        ("sklearn.svm.SVC.fit", "sklearn.svm has no module SVC; correct the name."),
        ("sklearn.svm.SVCC", "sklearn.svm has no SVCC; did you mean SVC? allowed: SVC, SVR, "),
        ("sklearn.model_selection.Grid", "sklearn.model_selection has no Grid; did you mean"),
        ("sklearn.svm", "it is a module; name a class of it: SVC, SVR, "),
        ("math.pi", "expected a class or a function, found 3.141592653589793."),
        ("math.sqrt", "sqrt is called without arguments, but it needs x. Give them in a function"),
        (
            "sklearn.multiclass.OneVsRestClassifier",
            "OneVsRestClassifier is called without arguments, but it needs estimator. Give them in",
        ),
        ("sklearn.linear_model.LinearRegression", "LinearRegression is no classifier. Choose a"),
        ("sklearn.preprocessing.StandardScaler", "expected a scikit-learn classifier with fit,"),
        ("collections.OrderedDict", "with fit, predict and get_params, found OrderedDict()."),
    ],
)
def test_wrong_import_path_is_refused_with_the_nearest_name(estimator: str, message: str):
    error = refused(training_settings(estimator=estimator))
    assert error.startswith(f"estimator cannot be {estimator!r}; ")
    assert message in error


# ---- Files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SVC.replace("build", "built"), "has no build; did you mean built? allowed: built."),
        ("x = 1\n", "has no build; it has no function and no class."),
        ("build = 3\n", "expected a class or a function, found 3."),
        ("def build(depth, *, seed, width=3): ...\n", "needs depth, seed. Give them as defaults."),
        (SVC.replace("SVC()\n", "SVC\n"), "found <class 'sklearn.svm._classes.SVC'>. A class of"),
        ("def build(): ...\n", "with fit, predict and get_params, found None."),
        ("def build(): return {'C': 1}\n", "found {'C': 1}. A class of your own derives from"),
        ("class build:\n    fit = predict = get_params = repr\n", "build is no classifier."),
        ("import gone\n", "FOLDER/FILE cannot be imported: the module gone is not installed."),
        ("from sklearn import svn\n", "cannot import name 'svn' from 'sklearn' ("),
        ("from .other import build\n", "ImportError: attempted relative import with no known"),
        ("x = 1\ny = x / 0\n", "cannot be imported: ZeroDivisionError: division by zero, in FILE"),
        ("import sys\nsys.exit('no')\n", "cannot be imported: SystemExit: no, in FILE line 2."),
        (
            "def f():\n    raise ValueError('two\\nlines')\ndef build(): f()\n",
            "two, in FILE line 2.",
        ),
        (
            own_class().replace("= power", "= [power]") + "build = Own\n",
            "scikit-learn cannot clone Own: RuntimeError: Cannot clone object Own(power=[1])",
        ),
        (
            own_class().replace("self.power = power", "pass") + "build = Own\n",
            "Its __init__ must store each argument unchanged under the argument's name.",
        ),
        (
            own_class().replace(
                "ClassifierMixin, BaseEstimator)", "BaseEstimator, ClassifierMixin)"
            )
            + "build = Own\n",
            "Own is no classifier. Choose a classifier. A class of your own derives from "
            "ClassifierMixin and BaseEstimator, in this order.",
        ),
        (SVC.replace("SVC()", "SVC(kernel=lambda a, b: a @ b.T)"), "SVC cannot be pickled: "),
        (
            own_class().replace("self.power = power", "self.power, self.x = power, open(__file__)")
            + "build = Own\n",
            "Own cannot be pickled: TypeError: cannot pickle '_io.TextIOWrapper' object. Use",
        ),
        (SVC.replace("SVC()", "SVC(C=-1)"), "FILE:build cannot be trained: The 'C' parameter of"),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, text: str, message: str):
    settings = own_settings(tmp_path, text)
    error = refused(settings).replace(str(tmp_path), "FOLDER")
    assert message in error.replace(settings.file.name, "FILE")


def test_error_in_a_package_of_the_user_names_its_line(tmp_path: Path):
    package = tmp_path / "nets_a"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import build\n")
    (package / "inner.py").write_text("from . import parts\ndef build():\n    parts.fail()\n")
    (package / "parts.py").write_text("\n\ndef fail():\n    raise ValueError('why')\n")
    settings = own_settings(tmp_path, "from nets_a import build\n")
    assert settings.estimator_digests().keys() == {
        settings.file.name,
        *(f"nets_a/{name}.py" for name in ("__init__", "inner", "parts")),
    }
    assert refused(settings).endswith("ValueError: why, in parts.py line 4.")


@pytest.mark.parametrize("name", ["random", "fit", "joblib", "image_workflow", "__main__"])
def test_file_with_the_name_of_another_module_is_refused(tmp_path: Path, name: str):
    import fit  # noqa: F401  so that every name is taken

    (tmp_path / f"{name}.py").write_text("def build(): ...\n")
    settings = training_settings(estimator=f"{name}.py:build", estimator_folder=tmp_path)
    error = refused(settings)
    assert error.startswith(f"{tmp_path}/{name}.py cannot be imported, because another module is")
    assert error.endswith("Rename the file.")


def test_imported_module_with_the_name_of_another_is_refused(tmp_path: Path):
    (tmp_path / "random.py").touch()
    error = refused(own_settings(tmp_path, f"import random\n{SVC}"))
    assert error.startswith(f"{tmp_path}/random.py cannot be imported, because another module is")


def test_file_may_stand_beside_modules_with_other_names_that_it_does_not_import(tmp_path: Path):
    for name in ("numpy.py", "random.py", "fit.py"):
        (tmp_path / name).write_text("1 / 0\n")
    assert check(own_settings(tmp_path, SVC)) == {"is_linear": False}
    assert not (tmp_path / "__pycache__").exists()


def test_missing_package_is_told_apart_from_other_errors(tmp_path: Path):
    (tmp_path / "helper_b.py").write_text("import gone.inside\n")
    with pytest.raises(MissingPackageError, match="the module gone is not installed"):
        check(own_settings(tmp_path, "import helper_b\n"))


# ---- Parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "parameters", "message"),
    [
        (MLP, {"hidden_layer_size": 9}, "hidden_layer_size is not a parameter of MLPClassifier; "),
        (MLP, {"hidden_layer_size": 9}, "did you mean hidden_layer_sizes? allowed: activation, "),
        (MLP, {"alpha": -1}, "alpha cannot be -1; it must be a float in the range [0.0, inf)."),
        (MLP, {"alpha": [0.1, "x"]}, "alpha cannot be 'x'; it must be a float in the range [0"),
        (MLP, {"alpha": None}, "alpha cannot be None; it must be a float in the range"),
        (MLP, {"max_iter": 1.5}, "max_iter cannot be 1.5; it must be an int in the range [1, inf)"),
        (
            MLP,
            {"early_stopping": 1},
            "early_stopping cannot be 1; it must be an instance of 'bool'",
        ),
        (MLP, {"solver": ["adam", "adm"]}, "solver cannot be 'adm'; it must be a str among {"),
        (FOREST, {"max_depth": [3, "deep"]}, "cannot be 'deep'; it must be an int in the range [1"),
        ("sklearn.naive_bayes.GaussianNB", {"priors": [0.5, 0.5]}, "in a list, such as [[0, 1]]."),
    ],
)
def test_wrong_parameter_is_refused(estimator: str, parameters: dict, message: str):
    error = refused(training_settings(estimator=estimator, parameters=parameters))
    assert error.startswith("parameters.")
    assert message in error


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"svc__gama": 1}, "svc__gama is not a parameter of Pipeline; did you mean svc__gamma?"),
        ({"svx__C": 1}, "svx__C is not a parameter of Pipeline; did you mean svc__C?"),
        ({"gamma": 1}, "gamma is not a parameter of Pipeline; did you mean svc__gamma?"),
        ({"svc__C": [1, 0]}, "svc__C cannot be 0; it must be a float in the range (0.0, inf]."),
        ({"minmaxscaler__feature_range": [0, 1]}, "cannot be 0; it must be an instance of 'tuple'"),
    ],
)
def test_wrong_parameter_of_a_step_is_refused(tmp_path: Path, parameters: dict, message: str):
    assert message in refused(own_settings(tmp_path, SCALED, parameters=parameters))


def test_values_reach_the_estimator_with_their_types(tmp_path: Path):
    parameters = {"minmaxscaler__feature_range": [[0, 2]], "svc__class_weight": {0: 1, 7: 2}}
    settings = own_settings(tmp_path, SCALED, parameters=parameters | {"svc__gamma": "auto"})
    check(settings)
    found = build(settings, settings.points()[0], (2, 2)).get_params()
    assert found["minmaxscaler__feature_range"] == (0, 2)
    assert found["svc__class_weight"] == {0: 1, 7: 2}
    assert found["svc__gamma"] == "auto"


def test_list_stays_a_list_where_the_estimator_allows_it():
    settings = training_settings(estimator=MLP, parameters={"hidden_layer_sizes": [[20, 10], [5]]})
    check(settings)
    models = [build(settings, point, (2, 2)) for point in settings.points()]
    assert [model.hidden_layer_sizes for model in models] == [[20, 10], [5]]


def test_any_value_is_taken_by_a_class_without_constraints(tmp_path: Path):
    settings = own_settings(tmp_path, own_class(), "Own", parameters={"power": [1, "x", None]})
    check(settings)
    powers = [build(settings, point, (2, 2)).power for point in settings.points()]
    assert powers == [1, "x", None]


# ---- What is made --------------------------------------------------------------------------


def test_random_state_of_every_step_is_the_seed_except_in_the_parameters(tmp_path: Path):
    text = """
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
def build():
    return make_pipeline(PCA(random_state=1), BaggingClassifier(DecisionTreeClassifier()))
"""
    settings = own_settings(tmp_path, text, seed=7)
    states = "pca__random_state", "baggingclassifier__random_state"
    inner = "baggingclassifier__estimator__random_state"
    found = build(settings, {}, (2, 2)).get_params()
    assert [found[name] for name in (*states, inner)] == [7, 7, 7]
    found = build(settings, {states[0]: 3, inner: None}, (2, 2)).get_params()
    assert [found[name] for name in (*states, inner)] == [3, 7, None]


def test_estimator_gets_images_if_its_file_says_so(tmp_path: Path):
    text = f"TAKES_IMAGES = True\n{own_class(predict='return X.shape[1] + X[:, 0, 1]')}"
    settings = own_settings(tmp_path, text, "Own", parameters={"power": 2})
    assert check(settings) == {"is_linear": False}
    model = build(settings, {"power": 2}, (3, 2))
    assert type(model) is Pipeline and model[-1].power == 2
    model.fit(np.zeros((4, 6)), [0, 1, 0, 1])
    assert model.predict(np.arange(12).reshape(2, 6)).tolist() == [3 + 1, 3 + 7]


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("sklearn.linear_model.LogisticRegression", True),
        ("sklearn.linear_model.SGDClassifier", True),
        ("sklearn.svm.LinearSVC", True),
        ("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", True),
        ("sklearn.svm.SVC", False),
        (MLP, False),
        ("sklearn.naive_bayes.GaussianNB", False),
    ],
)
def test_linear_estimators_are_known_as_such(estimator: str, expected: bool):
    assert check(training_settings(estimator=estimator)) == {"is_linear": expected}


def test_linear_estimator_behind_a_scaler_is_linear(tmp_path: Path):
    settings = own_settings(tmp_path, SCALED, "linear")
    assert check(settings) == {"is_linear": True}
    assert check(own_settings(tmp_path, SCALED)) == {"is_linear": False}
    text = SCALED.replace("MinMaxScaler", "PolynomialFeatures")
    assert check(own_settings(tmp_path, text, "linear")) == {"is_linear": False}


def test_each_estimator_is_a_new_one():
    settings = training_settings(estimator=MLP)
    first, second = new_estimator(settings), new_estimator(settings)
    assert type(first) is MLPClassifier and first is not second
