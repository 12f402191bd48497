"""results/report.html, and the same page by ``snakemake --report``."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import jinja2
import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

import browser
import summarize
from checkout import TOP, Checkout
from image_workflow.lineage.results import DataSet, Metrics, Receipt
from summarize import RunTime, render, run_times

PAGE = "results/report.html"
TABLES_FOLDER = TOP / "workflow/report/tables"
PICTURES = {
    "Data": {"Class balance": "class_balance.png", "Preview": "preview.png"},
    "Model": {"Parameter sweep": "sweep.png", "Weights": "weights.png"},
    "Performance": {"Confusion matrix": "confusion.png", "Mistakes": "mistakes.png"},
}
TABLES = {"Performance": ["Metrics"], "Provenance": ["Receipt", "Run times"]}


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, by their paths in it."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def reported(digits_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the finished checkout, with the report."""
    checkout = digits_run.copied(tmp_path_factory.mktemp("report") / "checkout")
    assert checkout.planned(PAGE, dataset="digits") == {"summarize": 1, "report": 1}
    checkout.finish(PAGE, dataset="digits")
    return checkout


# ---- Snakemake in Snakemake ----------------------------------------------------------------


def test_the_report_changes_no_other_result(digits_run: Checkout, reported: Checkout):
    for folder in ("results", "registry"):
        before, after = files(digits_run.path / folder), files(reported.path / folder)
        changed = {name for name in after if after[name] != before.get(name)}
        made = {"report.html", "records/report.json", "logs/report.log"}
        made |= {f"summary/{name}.html" for name in summarize.TABLES}
        made |= {"records/summarize.json", "logs/summarize.log", "benchmarks/summarize.jsonl"}
        # The database of a copy names the files of the copy.
        assert changed == (made if folder == "results" else {"mlflow.db"})
        assert before.keys() <= after.keys()


def test_the_inner_snakemake_keeps_the_notes_of_the_outer_one(
    digits_run: Checkout, reported: Checkout
):
    before = files(digits_run.path / ".snakemake/metadata")
    after = files(reported.path / ".snakemake/metadata")
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 7
    assert not files(reported.path / ".snakemake/incomplete")
    assert reported.planned(PAGE, dataset="digits") == {}


def test_snakemakes_own_option_makes_the_same_page(reported: Checkout):
    reported.finish("all", "summarize", "--report", "own.html", dataset="digits")
    own, page = ((reported.path / name).read_text() for name in ("own.html", PAGE))
    # Snakemake lists the results in any order.
    shown = [set(re.findall(r'"(results/[^"]+)": {"name"', text)) for text in (own, page)]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 9
    assert len(own) == len(page)


def test_snakemakes_own_option_shows_the_pictures_without_a_report(finished: Checkout):
    finished.finish("--report", "own.html", dataset="digits")
    page = (finished.path / "own.html").read_text()
    assert all(f"results/{name}" in page for group in PICTURES.values() for name in group.values())


def test_an_old_report_is_left_alone_until_it_is_asked_for(finished: Checkout):
    finished.finish(PAGE, dataset="digits")
    said = finished.finish("results/registered.json", dataset="digits", regularization=3).stderr
    assert "summary" not in said
    assert finished.planned("results/registered.json", dataset="digits", regularization=3) == {}
    planned = finished.planned(PAGE, dataset="digits", regularization=3)
    assert planned == {"summarize": 1, "report": 1}


@pytest.mark.parametrize("name", ["summary/metrics.html", "report.html"])
def test_an_altered_page_is_made_again(finished: Checkout, name: str):
    finished.finish(PAGE, dataset="digits")
    page = finished.path / "results" / name
    page.write_text(page.read_text().replace("0.9", "1.0"))
    assert "report" in finished.planned(PAGE, dataset="digits")


def test_the_report_is_of_the_settings_on_the_command_line(finished: Checkout):
    # The single rate has no picture of a comparison. With the list in config.yaml it would.
    finished.finish(PAGE, dataset="digits", regularization=3)
    page = (finished.path / PAGE).read_text()
    assert "results/weights.png" in page
    assert "results/sweep.png" not in page


def test_a_new_caption_makes_a_new_report_and_nothing_else(finished: Checkout):
    finished.finish(PAGE, dataset="digits")
    caption = finished.path / "workflow/report/captions/weights.rst"
    caption.write_text("Another caption.")
    assert finished.planned(PAGE, dataset="digits") == {"report": 1}


def test_an_error_of_the_inner_snakemake_is_told(finished: Checkout):
    (finished.path / "workflow/report/workflow.rst").write_text("{{ nothing.at.all }}")
    ended = finished.snakemake(PAGE, dataset="digits")
    assert ended.returncode == 1
    assert "report.py: snakemake --report failed" in ended.stderr
    assert "'nothing' is undefined" in ended.stderr
    assert not (finished.path / PAGE).exists()


# ---- The tables ----------------------------------------------------------------------------


def rendered(checkout: Checkout, name: str, jobs: list[RunTime]) -> str:
    """Return the HTML of the tables with another name of the first class and of the data set."""
    results = checkout.path / "results"
    data_set = DataSet.read(results / "dataset.json")
    first, *others = data_set.classes
    data_set = replace(data_set, description=name, classes=[replace(first, name=name), *others])
    metrics = Metrics.read(results / "metrics.json")
    metrics = replace(metrics, class_names=[name, *metrics.class_names[1:]])
    metrics.per_class[0]["name"] = name
    receipt = Receipt.read(results / "registered.json")
    return "\n".join(render(TABLES_FOLDER, metrics, receipt, data_set, jobs).values())


def test_names_are_text_and_not_html(digits_run: Checkout):
    html = rendered(digits_run, "<b>Äpfel & Birnen</b>", [])
    assert "<b>" not in html
    assert html.count("&lt;b&gt;Äpfel &amp; Birnen&lt;/b&gt;") == 6


def test_the_memory_is_shown_where_it_was_measured(digits_run: Checkout, tmp_path: Path):
    for name, seconds, memory in [("long", 0.6, 100.4), ("short", 0.1, 1.5), ("odd", 9, "NA")]:
        benchmark = {"s": seconds, "max_rss": memory}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(benchmark))
    jobs = run_times([*tmp_path.iterdir(), tmp_path / "missing.jsonl"])
    assert jobs == [
        RunTime("odd", 9, None),
        RunTime("long", 0.6, 100.4),
        RunTime("short", 0.1, None),
    ]
    html = rendered(digits_run, "zero", jobs)
    assert ">100</td>" in html
    assert html.count("<td>\N{EN DASH}</td>") == 2


def tables_of(
    checkout: Checkout, deterministic: bool | None = True, **parameters: str
) -> dict[str, str]:
    """Return the HTML of the tables of another estimator than logistic_regression."""
    results = checkout.path / "results"
    chosen = parameters | {"estimator": "my_model.py:build", "dataset": "digits", "seed": "42"}
    receipt = Receipt.read(results / "registered.json")
    receipt = replace(receipt, parameters=chosen, deterministic=deterministic)
    metrics = replace(Metrics.read(results / "metrics.json"), parameters=parameters)
    return render(TABLES_FOLDER, metrics, receipt, DataSet.read(results / "dataset.json"), [])


def test_the_tables_show_another_estimator_and_its_parameters(digits_run: Checkout):
    parameters = {"layers": "[50, 20]", "kernel": "<rbf>", "tol": "0"}
    tables = tables_of(digits_run, **parameters)
    for name in ("overview", "metrics", "receipt"):
        rows = dict(re.findall(r'<tr><th scope="row">(.+)</th><td>(.+)</td></tr>', tables[name]))
        shown = {key.lower(): unescape(value) for key, value in rows.items()}
        assert parameters.items() <= shown.items()
        assert shown["estimator"] == "my_model.py:build"
        assert "regularization rate" not in shown


def test_long_parameters_fit_into_a_narrow_window(digits_run: Checkout, tmp_path: Path):
    if not (browser.CHROMIUM and browser.DRIVER):
        pytest.skip("chromium or chromedriver is not installed")
    name, value = "one_step__another_step__" * 5 + "alpha", "[" + "100," * 300 + "100]"
    tables = tables_of(digits_run, **{name: value})
    assert value in tables["receipt"]
    assert value[:100] in tables["metrics"]
    assert value not in tables["metrics"]
    page = tmp_path / "page.html"
    page.write_text(tables["receipt"])
    with browser.opened(page, width=420) as driver:
        assert driver.execute_script("return document.body.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("deterministic", "words"),
    [
        (True, "yes: the same machine gives the same model"),
        (False, "no: another training gives another model"),
        (None, "not known"),
    ],
)
def test_the_receipt_tells_whether_the_model_is_deterministic(
    digits_run: Checkout, deterministic: bool | None, words: str
):
    table = tables_of(digits_run, deterministic)["receipt"]
    assert f'<tr><th scope="row">Deterministic</th><td>{words}</td></tr>' in table
    assert '<td><data value="4">4</data> candidates on' in table


@pytest.mark.parametrize("missing", ["Model", "Provenance"])
def test_the_start_page_links_only_to_categories_that_exist(missing: str):
    # A reference to another name would be an error of reStructuredText.
    names = [*dict.fromkeys([*PICTURES, *TABLES])]
    names.remove(missing)
    source = (TOP / "workflow/report/workflow.rst").read_text()
    text = jinja2.Template(source).render(categories=[{"name": name} for name in names])
    assert re.findall(r"(\w+)_\b", text) == names


# ---- In Chromium ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1400, 420], ids=["wide", "narrow"])
def page(request: pytest.FixtureRequest, reported: Checkout) -> Iterator[WebDriver]:
    """The report in a window of a width."""
    if not (browser.CHROMIUM and browser.DRIVER):
        pytest.skip("chromium or chromedriver is not installed")
    with browser.opened(reported.path / PAGE, width=request.param) as driver:
        yield driver


@pytest.fixture(autouse=True)
def back_to_the_start(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show the start page after each test that looks at the page."""
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").refresh()


def wait(page: WebDriver) -> WebDriverWait:
    """Return an object whose ``until`` waits until the page has come to rest."""
    return WebDriverWait(page, 10, ignored_exceptions=[WebDriverException])


def click(page: WebDriver, xpath: str) -> None:
    """Click on an element, as soon as it does not move any more."""
    wait(page).until(lambda _: page.find_element(By.XPATH, xpath).click() is None)


def open_category(page: WebDriver, category: str) -> None:
    """Click on an entry of the menu."""
    click(page, f"//nav//a[span='{category}']")


def close_category(page: WebDriver) -> None:
    """Click on the house above the menu."""
    click(page, "//nav//ol/li/a")


def show(page: WebDriver, category: str, result: str) -> None:
    """Click on a category in the menu, and on the eye of a result."""
    open_category(page, category)
    click(page, f"//nav//tr[td='{result}']//a[1]")


def frame_of(page: WebDriver, category: str, table: str) -> None:
    """Show a table, and enter its frame."""
    show(page, category, table)
    page.switch_to.frame(page.find_element(By.TAG_NAME, "iframe"))


def values(page: WebDriver, css: str) -> list[float]:
    """Return the exact numbers of the elements that match, in their order."""
    elements = page.find_elements(By.CSS_SELECTOR, f"{css} data")
    return [json.loads(element.get_attribute("value")) for element in elements]


def test_the_page_needs_no_network_and_has_no_errors(page: WebDriver):
    for category, tables in TABLES.items():
        for table in tables:
            show(page, category, table)
            close_category(page)
    open_category(page, "Statistics")
    page.find_element(By.CSS_SELECTOR, "#runtimes canvas")
    assert browser.console_errors(page) == []
    assert browser.requested_schemes(page) <= {"file", "data"}


def test_the_menu_lists_all_results(page: WebDriver):
    for category in PICTURES.keys() | TABLES.keys():
        open_category(page, category)
        listed = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "nav td:first-child")]
        assert listed == sorted([*PICTURES.get(category, []), *TABLES.get(category, [])])
        close_category(page)


@pytest.mark.parametrize(
    ("category", "result"),
    [(category, result) for category, results in PICTURES.items() for result in results],
)
def test_each_picture_opens_and_fits_into_the_window(page: WebDriver, category: str, result: str):
    show(page, category, result)
    picture = page.find_element(By.CSS_SELECTOR, "#app > div > .grow img")
    WebDriverWait(page, 10).until(lambda _: picture.get_property("complete"))
    assert picture.get_property("naturalWidth") > 500
    assert PICTURES[category][result] in picture.get_attribute("src")[:100]
    left, right = picture.rect["x"], picture.rect["x"] + picture.rect["width"]
    assert 0 <= left < right <= page.execute_script("return innerWidth")


def test_each_result_has_a_description(page: WebDriver):
    for category in PICTURES.keys() | TABLES.keys():
        for result in [*PICTURES.get(category, []), *TABLES.get(category, [])]:
            open_category(page, category)
            click(page, f"//nav//tr[td='{result}']//a[2]")
            assert len(page.find_element(By.CSS_SELECTOR, "nav .prose").text) > 20
            assert "recipe=" not in page.find_element(By.TAG_NAME, "nav").text
            menu = page.find_element(By.CSS_SELECTOR, "#app > div > nav")
            assert menu.get_property("scrollWidth") <= menu.get_property("clientWidth")
            close_category(page)


def test_the_start_page_shows_the_accuracy_and_links_to_the_categories(
    page: WebDriver, reported: Checkout
):
    metrics = json.loads((reported.path / "results/metrics.json").read_text())
    assert metrics["accuracy"] in values(page, ".prose")
    assert "ERROR" not in page.find_element(By.CSS_SELECTOR, ".prose").text
    click(page, "//*[@class='reference external'][.='Provenance']")
    page.find_element(By.XPATH, "//nav//td[.='Receipt']")


def test_the_metrics_are_those_of_metrics_json(page: WebDriver, reported: Checkout):
    metrics = json.loads((reported.path / "results/metrics.json").read_text())
    frame_of(page, "Performance", "Metrics")
    keys = "accuracy", "n_test", "n_train", "regularization_rate"
    assert values(page, ".figures") == [metrics[key] for key in keys]
    shown = page.find_element(By.ID, "accuracy").text
    assert shown == f"{metrics['accuracy']:.4f}"
    scores = "precision", "recall", "f1", "support"
    assert values(page, "#classes") == [
        row[score] for row in metrics["per_class"] for score in scores
    ]
    named = page.find_elements(By.CSS_SELECTOR, "#classes tbody th")
    assert [cell.text for cell in named] == metrics["class_names"]
    rows = page.find_elements(By.CSS_SELECTOR, "#confusion tbody tr")
    assert [[int(n) for n in row.text.split()[1:]] for row in rows] == metrics["confusion_matrix"]


def test_the_receipt_is_that_of_registered_json(page: WebDriver, reported: Checkout):
    receipt = reported.receipt()
    frame_of(page, "Provenance", "Receipt")
    text = page.find_element(By.TAG_NAME, "body").text
    found = [receipt["name"], receipt["run_id"], receipt["machine"]["processor"]]
    for part in ("parameters", "sha256", "idx_sha256", "environment"):
        found += receipt[part].values()
    assert [value for value in found if value not in text] == []
    assert page.execute_script("return document.body.scrollWidth <= innerWidth")


def test_the_run_times_are_those_of_all_jobs(page: WebDriver, reported: Checkout):
    benchmarks = (reported.path / "results/benchmarks").glob("*.jsonl")
    seconds = {path.stem: json.loads(path.read_text())["s"] for path in benchmarks}
    del seconds["summarize"]  # The table was made in its course.
    frame_of(page, "Provenance", "Run times")
    names = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "tbody th")]
    assert dict(zip(names, values(page, "tbody"), strict=True)) == seconds


def test_the_menu_is_beside_the_content_or_above_it(page: WebDriver):
    menu, content = "#app > div > nav", "#app > div > .grow"
    is_narrow = page.execute_script("return innerWidth") == 420

    def corner() -> list[int]:
        return [round(page.find_element(By.CSS_SELECTOR, content).rect[key]) for key in "xy"]

    def size() -> list[int]:
        found = page.find_element(By.CSS_SELECTOR, menu).rect
        return [round(found[key]) for key in ("width", "height")]

    wait(page).until(lambda _: corner() == ([0, size()[1]] if is_narrow else [size()[0], 0]))
    assert size()[0] == 420 if is_narrow else size()[1] == 900
    click(page, "//nav/h1/a")
    wait(page).until(lambda _: corner() == [0, 0])
