"""Promotion: which version gets the alias champion, and what the receipt says of it."""

import itertools
import json
import threading
from argparse import Namespace
from dataclasses import replace

import mlflow
import pytest

import register
from image_workflow.backends.interface import Validation
from image_workflow.backends.mlflow.promotion import CHAMPION, REPLACED, accuracy_tags, promote
from image_workflow.lineage.results import Receipt, Sweep
from registration import registered, write_model, write_training
from schemas import schema
from show_receipt import summary
from training import training_options, training_settings


def trained(options: Namespace, accuracy: float, rate: float, **settings) -> Namespace:
    """Train another model with two candidates, the better of which has a validation accuracy."""
    chosen = {"regularization": [rate, rate / 2]} | settings
    write_model(options.model, training_settings(**chosen))
    write_training(options.model, training_settings(**chosen))
    sweep = Sweep.read(options.sweep)
    scores = [accuracy if one.parameters == sweep.parameters else 0.0 for one in sweep.candidates]
    candidates = [
        replace(candidate, validation_accuracy=score)
        for candidate, score in zip(sweep.candidates, scores, strict=True)
    ]
    replace(sweep, candidates=candidates).write(options.sweep)
    metrics = json.loads(options.metrics.read_text())
    metrics["regularization_rate"] = sweep.parameters["regularization_rate"]
    options.metrics.write_text(json.dumps(metrics))
    return Namespace(**vars(options) | vars(training_options(**chosen)) | {"promote": True})


def champion(options: Namespace) -> str | None:
    client = mlflow.MlflowClient(options.registry_uri)
    number = client.get_registered_model("my_model").aliases.get(CHAMPION)
    return number and str(number)


def test_a_better_or_equal_version_becomes_the_champion(options: Namespace, caplog):
    caplog.set_level("INFO", "image_workflow")
    first = registered(trained(options, 0.9, 1))
    assert (champion(options), first["version"]) == ("1", 1)
    assert first["promotion"] == {
        "promoted": True,
        "replaced_version": None,
        "reason": "there was no champion",
    }
    second = registered(trained(options, 0.9, 3))
    assert (champion(options), second["version"]) == ("2", 2)
    assert second["promotion"] == {
        "promoted": True,
        "replaced_version": 1,
        "reason": "its validation accuracy is 0.9, that of version 1 is 0.9",
    }
    third = registered(trained(options, 0.9001, 5))
    assert (champion(options), third["promotion"]["replaced_version"]) == ("3", 2)
    assert caplog.messages[-1] == (
        "my_model version 3 is the champion: its validation accuracy is 0.9001, that of version 2 "
        "is 0.9."
    )
    schema("receipt").validate(third)


def test_a_worse_version_is_registered_and_not_promoted(options: Namespace, caplog):
    caplog.set_level("INFO", "image_workflow")
    registered(trained(options, 0.9, 1))
    receipt = registered(trained(options, 0.8999, 3))
    assert (champion(options), receipt["version"]) == ("1", 2)
    reason = "its validation accuracy is 0.8999, below that of the champion, version 1: 0.9"
    expected = {"promoted": False, "replaced_version": None, "reason": reason}
    assert receipt["promotion"] == expected
    assert caplog.messages[-1] == f"my_model version 2 is not promoted: {reason}."
    schema("receipt").validate(receipt)


@pytest.mark.parametrize(
    "other", [{"seed": 7}, {"validation_fraction": 0.3}], ids=["seed", "validation_fraction"]
)
def test_other_validation_images_are_not_compared(options: Namespace, other: dict):
    registered(trained(options, 0.5, 1))
    receipt = registered(trained(options, 0.9, 3, **other))
    assert champion(options) == "1"
    assert (
        "version 1, has no validation accuracy on the same images"
        in (receipt["promotion"]["reason"])
    )


def test_another_training_set_is_not_compared(options: Namespace):
    settings = training_settings(regularization=[1])
    first = {"train-images-idx3-ubyte": "a", "train-labels-idx1-ubyte": "a"}
    sweep = Sweep.read(trained(options, 0.9, 1).sweep)
    one = register.validation(sweep, settings, first)
    for name in first:
        other = register.validation(sweep, settings, first | {name: "b"})
        assert (one.accuracy, other.accuracy) == (0.9, 0.9)
        assert one.images != other.images
    test_set = {"t10k-images-idx3-ubyte": "c"}
    assert register.validation(sweep, settings, first | test_set) == one


def test_without_a_comparison_nothing_is_promoted(options: Namespace):
    receipt = registered(options, promote=True)
    assert champion(options) is None
    assert receipt["promotion"]["promoted"] is False
    assert "Give a list of values" in receipt["promotion"]["reason"]
    # Trained with a list, the same command promotes.
    assert registered(trained(options, 0.9, 1))["promotion"]["promoted"] is True
    assert champion(options) == "2"


def test_a_champion_without_a_comparison_stays(options: Namespace):
    registered(options)
    client = mlflow.MlflowClient(options.registry_uri)
    client.set_registered_model_alias("my_model", CHAMPION, "1")
    receipt = registered(trained(options, 0.9, 1))
    assert champion(options) == "1"
    assert "give the better one the alias champion in MLflow" in receipt["promotion"]["reason"]


def test_a_version_that_is_registered_already_is_promoted(options: Namespace):
    unpromoted = registered(trained(options, 0.9, 1), promote=False)
    assert (unpromoted["promotion"], champion(options)) == (None, None)
    again = trained(options, 0.9, 1)
    for _ in range(2):
        receipt = registered(again)
        assert (champion(options), receipt["version"]) == ("1", 1)
        assert receipt["promotion"]["promoted"] is True
    assert receipt["promotion"]["reason"] == "it was the champion already"


def test_the_receipt_names_the_replaced_version_again(options: Namespace):
    registered(trained(options, 0.8, 1))
    second = trained(options, 0.9, 3)
    assert registered(second)["promotion"]["replaced_version"] == 1
    assert registered(second)["promotion"]["replaced_version"] == 1


def test_a_champion_that_was_set_by_hand_is_compared(options: Namespace):
    registered(trained(options, 0.7, 1))
    registered(trained(options, 0.9, 3))
    client = mlflow.MlflowClient(options.registry_uri)
    client.set_registered_model_alias("my_model", CHAMPION, "1")  # the second one has a fault
    receipt = registered(trained(options, 0.8, 5))
    assert (champion(options), receipt["promotion"]["replaced_version"]) == ("3", 1)


def test_the_same_model_of_another_comparison_is_compared_on_both(options: Namespace):
    """A comparison on other images can lead to the same model, which is the same version."""
    registered(trained(options, 0.7, 1))
    one = trained(options, 0.8, 3)
    registered(one, promote=False)
    arguments = register.registration(one)
    other = replace(arguments, validation=Validation(0.6, "f" * 64))
    registry = register.registry_of(other.training, register.BackendSettings.from_options(one))
    assert registry.register(other).promotion.promoted is False  # version 1 has no such accuracy
    assert registered(one)["promotion"]["promoted"] is True
    tags = mlflow.MlflowClient(options.registry_uri).get_model_version("my_model", "2").tags
    assert accuracy_tags(other.validation).items() <= tags.items()
    assert sorted(tags[key] for key in tags if "validation_accuracy" in key) == ["0.6", "0.8"]


# ---- At the same time --------------------------------------------------------------------------


class Turns:
    """Lets clients, which are threads, do their calls in an order of their names."""

    def __init__(self, order: str):
        self.order, self.condition = list(order), threading.Condition()
        self.calling, self.ended = set(), set()

    def is_next(self, name: str) -> bool:
        waiting = [one for one in self.order if one not in self.ended]
        return not waiting or waiting[0] == name

    def take(self, method):
        def call(client, *arguments):
            name = threading.current_thread().name
            with self.condition:
                if name in self.calling:  # MLflow calls one method in another.
                    return method(client, *arguments)
                assert self.condition.wait_for(lambda: self.is_next(name), 5)
                if name in self.order:
                    self.order.remove(name)
                self.calling.add(name)
                try:
                    return method(client, *arguments)
                finally:
                    self.calling.remove(name)
                    self.condition.notify_all()

        return call

    def end(self) -> None:
        with self.condition:
            self.ended.add(threading.current_thread().name)
            self.condition.notify_all()


CALLS = (
    *("search_model_versions", "get_registered_model"),
    *("set_registered_model_alias", "set_model_version_tag"),
)
#: All orders of the steps of two clients: read tags, read alias, set alias, set tag, look again.
ORDERS = sorted(
    "".join("B" if place in places else "A" for place in range(10))
    for places in map(set, itertools.combinations(range(10), 5))
)


@pytest.fixture
def three_versions(options: Namespace) -> Namespace:
    """A champion, and two better versions, of which version 3 is the best."""
    registered(trained(options, 0.7, 1))
    for number, accuracy in ((2, 0.8), (3, 0.9)):
        registered(trained(options, accuracy, 2 * number), promote=False)
    return options


def test_of_two_at_the_same_time_the_better_one_stays(three_versions: Namespace, monkeypatch):
    client = mlflow.MlflowClient(three_versions.registry_uri)
    images = register.registration(trained(three_versions, 0.9, 6)).validation.images
    for order in ORDERS[::12]:  # All of them take minutes.
        client.set_registered_model_alias("my_model", CHAMPION, "1")
        for number in "23":
            client.delete_model_version_tag("my_model", number, REPLACED)
        found, turns = {}, Turns(order)

        def call(number: int, accuracy: float, found=found, turns=turns) -> None:
            found[number] = promote("my_model", number, Validation(accuracy, images))
            turns.end()

        with monkeypatch.context() as patched:
            for name in CALLS:
                method = getattr(mlflow.MlflowClient, name)
                patched.setattr(mlflow.MlflowClient, name, turns.take(method))
            clients = [
                threading.Thread(target=call, args=given, name=name)
                for name, given in (("A", (2, 0.8)), ("B", (3, 0.9)))
            ]
            for one in clients:
                one.start()
            for one in clients:
                one.join()
        assert champion(three_versions) == "3", order
        assert found[3].promoted, order
        assert client.get_model_version("my_model", "3").tags[REPLACED] in ("1", "2")


# ---- What the receipt shows ----------------------------------------------------------------------


def test_an_older_receipt_can_still_be_read(options: Namespace):
    receipt = registered(options)
    assert receipt.pop("promotion") is None
    options.receipt.write_text(json.dumps(receipt))
    assert Receipt.read(options.receipt).promotion is None


@pytest.mark.parametrize(("promoted", "verdict"), [(True, "yes"), (False, "no")])
def test_the_summary_says_whether_it_is_the_champion(options, promoted: bool, verdict: str):
    receipt = registered(options)
    assert len(summary(receipt).splitlines()) == 3
    receipt["promotion"] = {"promoted": promoted, "replaced_version": None, "reason": "so it is"}
    assert f"\nchampion    {verdict}: so it is\n" in summary(receipt)
