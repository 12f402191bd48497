"""The user's own estimator: find it, check it, and give it its parameters.

An estimator is named by the import path of its class, such as
``sklearn.neural_network.MLPClassifier``, or as a function in a file, such as ``my_model.py:build``,
which returns an estimator or a Pipeline.
"""

import importlib
import inspect
import operator
import pickle
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from image_workflow.errors import UserError, nearest
from image_workflow.imports import fast_imports, make_importable
from image_workflow.lineage.code import code_files
from image_workflow.models.settings import LOGISTIC_REGRESSION, TrainingSettings

with fast_imports(hide="pandas"):
    from sklearn.base import BaseEstimator, OneToOneFeatureMixin, clone, is_classifier
    from sklearn.linear_model._base import LinearClassifierMixin
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

#: A user's file sets this to True if its estimator takes images of shape (n, rows, columns).
TAKES_IMAGES = "TAKES_IMAGES"


# ---- Find ------------------------------------------------------------------------------------


def find_builder(settings: TrainingSettings) -> Callable:
    """Return the class or function that makes the estimator.

    Raises
    ------
    UserError
        If it cannot be imported, or needs arguments.
    """
    wrong = f"estimator cannot be {settings.estimator!r}; "
    if settings.file:
        settings.estimator_digests()  # Raises the error of a missing or broken file.
        module = import_file(settings.file)
        name = settings.estimator.rpartition(":")[2]
        where, names = settings.file.name, own_names
    else:
        path, _, name = settings.estimator.rpartition(".")
        is_path = all(part.isidentifier() for part in (*path.split("."), name))
        if not is_path or name == "py":
            raise UserError(
                f"{wrong}{guess_of(name)}it must be {LOGISTIC_REGRESSION}, the import path of a "
                "classifier, such as sklearn.neural_network.MLPClassifier, or a function in a "
                "file, such as my_model.py:build."
            )
        module = import_module(path, settings.estimator)
        where, names = path, class_names
    builder = getattr(module, name, None)
    if builder is None:
        known = names(module)
        others = nearest(name, known) if known else "it has no function and no class."
        problem = f"{where} has no {name}" if name else "name a function after the colon"
        raise UserError(f"{wrong}{problem}; {others}")
    if inspect.ismodule(builder):
        raise UserError(f"{wrong}it is a module; name a class of it: {', '.join(names(builder))}.")
    if not callable(builder):
        raise UserError(f"{wrong}expected a class or a function, found {short_repr(builder)}.")
    if needed := required_arguments(builder):
        where = "as defaults" if settings.file else "in a function of yours, as my_model.py:build"
        raise UserError(
            f"{wrong}{name} is called without arguments, but it needs {', '.join(needed)}. Give "
            f"them {where}."
        )
    return builder


def required_arguments(builder: Callable) -> list[str]:
    """Return the arguments that a class or a function cannot be called without."""
    try:
        arguments = inspect.signature(builder).parameters.values()
    except (TypeError, ValueError):  # Some compiled functions do not tell.
        return []
    optional = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [
        argument.name
        for argument in arguments
        if argument.default is argument.empty and argument.kind not in optional
    ]


def import_file(file: Path):
    """Return the module of the user's file.

    Raises
    ------
    UserError
        If the file cannot be imported, or has a name that another module has.
    """
    make_importable(file.parent)
    with sentences(f"{file} cannot be imported", file):
        files = code_files(file)
        module = importlib.import_module(file.stem)
    for path in files:
        parts = path.relative_to(file.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found = getattr(sys.modules.get(name), "__file__", None)
        if name in sys.modules and (found is None or Path(found).resolve() != path.resolve()):
            raise UserError(
                f"{path} cannot be imported, because another module is called {name}"
                f"{f' ({found})' if found else ''}. Rename the file."
            )
    return module


def import_module(path: str, estimator: str):
    """Return the module of an import path, or raise UserError with the nearest name."""
    package, _, name = path.rpartition(".")
    wrong = f"estimator cannot be {estimator!r}; "
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path and not path.startswith(f"{error.name}."):
            raise missing_package(error, estimator) from error
        if not package or error.name != path:
            guess = guess_of(estimator.rpartition(".")[2], cutoff=1)
            if Path(f"{path}.py").is_file():
                guess = f"did you mean {path}.py:{estimator.rpartition('.')[2]}? "
            raise MissingPackageError(
                f"{wrong}there is no package {error.name}; {guess}correct the name, or install the "
                "package and name it in extra_packages."
            ) from error
        inside = pkgutil.iter_modules(getattr(import_module(package, estimator), "__path__", []))
        names = (module.name for module in inside)
        public = [name for name in names if not name.startswith(("_", "test", "conftest"))]
        guess = guess_of(estimator.rpartition(".")[2])
        raise UserError(
            f"{wrong}{package} has no module {name}; {guess}"
            f"{nearest(name, public) if public and not guess else 'correct the name.'}"
        ) from error
    except Exception as error:
        raise UserError(f"{wrong}{path} cannot be imported: {described(error)}.") from error


def guess_of(name: str, cutoff: float = 0.7) -> str:
    """Return the full name of a scikit-learn classifier as a question, or nothing.

    ``cutoff`` is the similarity that it must have; 1 finds the same name only.
    """
    from difflib import get_close_matches

    from sklearn.utils import all_estimators

    known = {LOGISTIC_REGRESSION: LOGISTIC_REGRESSION}
    for short, found in all_estimators(type_filter="classifier"):
        # Classes in private modules, such as sklearn.svm._classes, are public in the package above.
        known[short] = f"{found.__module__.split('._')[0]}.{short}"
    close = get_close_matches(name, known, 1, cutoff)
    return f"did you mean {known[close[0]]}? " if close else ""


def class_names(module) -> list[str]:
    """Return the public classes of a module."""
    # vars, because getattr raises an error for the experimental classes of scikit-learn.
    names = getattr(module, "__all__", vars(module))
    return [name for name in names if inspect.isclass(vars(module).get(name))]


def own_names(module) -> list[str]:
    """Return the functions and classes that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not name.startswith("_")
    ]


# ---- Build -----------------------------------------------------------------------------------


def new_estimator(settings: TrainingSettings) -> BaseEstimator:
    """Return a new estimator, with its own parameters.

    Raises
    ------
    UserError
        If it cannot be made, or is no classifier that can be cloned and pickled.
    """
    builder = find_builder(settings)
    with sentences(f"{settings.estimator} cannot make an estimator", settings.file):
        estimator = builder()
    wrong = f"estimator cannot be {settings.estimator!r}; "
    own_class = "A class of your own derives from ClassifierMixin and BaseEstimator, in this order."
    # Of the type, because some estimators have no predict before they are fitted.
    if isinstance(estimator, type) or not all(
        callable(getattr(type(estimator), name, None)) for name in ("fit", "predict", "get_params")
    ):
        raise UserError(
            f"{wrong}expected a scikit-learn classifier with fit, predict and get_params, found "
            f"{short_repr(estimator)}. {own_class}"
        )
    try:
        is_right = is_classifier(estimator)
    except (AttributeError, TypeError):  # It does not derive from BaseEstimator.
        is_right = False
    if not is_right:
        raise UserError(
            f"{wrong}{type(estimator).__name__} is no classifier. Choose a classifier. {own_class}"
        )
    try:
        copy = clone(estimator)
    except Exception as error:
        raise UserError(
            f"{wrong}scikit-learn cannot clone {type(estimator).__name__}: {described(error)}. Its "
            "__init__ must store each argument unchanged under the argument's name."
        ) from error
    check_pickle(copy, wrong)
    return estimator


def check_pickle(estimator: BaseEstimator, wrong: str) -> None:
    """Raise UserError, which begins with ``wrong``, unless an estimator can be pickled."""
    try:
        pickle.dumps(estimator)
    except Exception as error:
        raise UserError(
            f"{wrong}{type(estimator).__name__} cannot be pickled: {described(error)}. Use "
            "functions and classes from the top level of a module, and no lambda or open file."
        ) from error


def build(settings: TrainingSettings, point: dict, shape: tuple[int, int]) -> BaseEstimator:
    """Return the unfitted estimator of one point of the grid.

    Its random states are the seed, unless ``point`` sets them.

    Parameters
    ----------
    settings : TrainingSettings
    point : dict
        The value of each parameter.
    shape : pair of int
        The rows and columns of an image.

    Returns
    -------
    BaseEstimator
        Takes one row of pixels for each image. An estimator that takes images is put behind a step
        that reshapes the rows.
    """
    estimator = new_estimator(settings)
    for name, value in point.items():
        set_parameter(estimator, name, value)
    for name in estimator.get_params():
        if name.split("__")[-1] == "random_state" and name not in point:
            estimator.set_params(**{name: settings.seed})
    if takes_images(settings):
        # A lambda or a function of ours would be needed to load the model.
        reshape = FunctionTransformer(operator.methodcaller("reshape", (-1, *shape)))
        estimator = Pipeline([("images", reshape), ("estimator", estimator)])
    return estimator


def takes_images(settings: TrainingSettings) -> bool:
    """Return whether the user's file says that its estimator takes images instead of rows."""
    return bool(settings.file and getattr(import_file(settings.file), TAKES_IMAGES, False))


def set_parameter(estimator: BaseEstimator, name: str, value: object) -> None:
    """Set a parameter of an estimator, or of a step of it.

    YAML has no tuples. A list becomes one if the parameter allows a tuple, but no list.

    Raises
    ------
    UserError
        If the name or the value is wrong. It names the nearest name, or what is allowed.
    """
    known = estimator.get_params()
    if name not in known:
        if ":" in name:
            raise UserError(f"parameters.{name} is not a name. YAML needs a space after the colon.")
        if re.search(r"[()\[\]]", name):
            raise UserError(
                f"parameters.{name} is not a name. YAML has no tuples; write a list in a list, as "
                "[[100, 50]]."
            )
        short = type(estimator).__name__
        raise UserError(
            f"parameters.{name} is not a parameter of {short}; {nearest(name, sorted(known))}"
        )
    owner_name, _, own_name = name.rpartition("__")
    owner = known[owner_name] if owner_name else estimator
    before, problem = known[name], None
    for given in [value, tuple(value)] if isinstance(value, list) else [value]:
        estimator.set_params(**{name: given})
        found = constraint_error(owner, own_name)
        if found is None:
            return
        problem = problem or found
    estimator.set_params(**{name: before})
    if not isinstance(value, list) and re.search("'(tuple|list)'|array-like", problem):
        problem += ". To try one value that is a list, write it in a list, such as [[0, 1]]"
    raise UserError(f"parameters.{name} cannot be {value!r}; {problem}.")


def constraint_error(owner: object, name: str) -> str | None:
    """Return what is wrong with a parameter's value by the owner's own constraints, or None."""
    if isinstance(owner, type) or not hasattr(owner, "_parameter_constraints"):
        return None
    try:
        owner._validate_params()
    except (TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        if allowed := re.search(rf"^The '{name}' parameter of \w+ (must be .*)\. Got ", text):
            # scikit-learn lists the options in another order in each process.
            return f"it {re.sub(r'{(.*?)}', sorted_options, allowed[1])}"
        # Another parameter, or a check of several.
        return text.rstrip(".")
    return None


def sorted_options(found: re.Match) -> str:
    """Return the options in a text such as ``{'b', 'a'}`` in alphabetical order."""
    return "{" + ", ".join(sorted(found[1].split(", "))) + "}"


# ---- Check -----------------------------------------------------------------------------------


def check(settings: TrainingSettings) -> dict[str, bool]:
    """Check an estimator, and all values of its parameters, without any data.

    Returns
    -------
    dict
        ``is_linear``: whether the fitted model will have a coefficient for each pixel.

    Raises
    ------
    UserError
        If anything is wrong.
    """
    estimator = new_estimator(settings)
    for step in (estimator, *estimator.get_params().values()):
        if problem := constraint_error(step, ""):
            raise UserError(f"{settings.estimator} cannot be trained: {problem}.")
    for name, values in settings.grid.items():
        for value in values:
            set_parameter(estimator, name, value)
    return {"is_linear": not takes_images(settings) and is_linear(estimator)}


def is_linear(estimator: BaseEstimator) -> bool:
    """Return whether a classifier's decision is linear in the pixels, also behind a scaler."""
    if isinstance(estimator, Pipeline):
        *before, (_, last) = estimator.steps
        return is_linear(last) and all(
            step in (None, "passthrough") or isinstance(step, OneToOneFeatureMixin)
            for _, step in before
        )
    if isinstance(estimator, OneVsRestClassifier):
        return is_linear(estimator.estimator)
    return isinstance(estimator, LinearClassifierMixin)


# ---- Errors ----------------------------------------------------------------------------------


@contextmanager
def sentences(what: str, file: Path | None) -> Iterator[None]:
    """Turn any error of the user's code into a UserError that names the line."""
    try:
        with chdir(Path.cwd()):  # The user's code may change the working directory.
            yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        if file and error.name == file.parent.resolve().name:
            raise UserError(
                f"{what}: {described(error, file)}. Import modules of your own from the folder of "
                f"{file.name}, without its name."
            ) from error
        raise missing_package(error, what) from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{what}: {described(error, file)}.") from error


def missing_package(error: ModuleNotFoundError, what: str) -> UserError:
    """Return the error for a package that the user's estimator needs."""
    return MissingPackageError(
        f"{what}: the module {error.name} is not installed. Install its package, and name it in "
        "extra_packages."
    )


class MissingPackageError(UserError):
    """A module that the estimator imports is not installed."""


def described(error: BaseException, file: Path | None = None) -> str:
    """Return the type and the text of an error, and its last line in the user's code."""
    kind, text = type(error).__name__, str(error).strip().splitlines()
    found = f"{kind}: {text[0]}" if text else kind
    if isinstance(error, SyntaxError):
        return f"{kind}: {error.msg}, in {Path(error.filename or '').name} line {error.lineno}"
    if file:
        own = {path.resolve() for path in code_files(file)}
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if Path(frame.filename).resolve() in own:
                return f"{found.rstrip('.:')}, in {Path(frame.filename).name} line {frame.lineno}"
    return found.rstrip(".:")


def short_repr(value: object) -> str:
    """Return an object's text, cut to one line of 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
