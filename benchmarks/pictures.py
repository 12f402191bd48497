"""Count the pictures of digits that the model of MNIST gets right, and measure predict.py.

The digits are drawn by a program, in several hands, and photographed by it. MNIST's test images are
enlarged and put at random places of a larger picture. Needs the results of `make run`. Prints
tables, and writes benchmarks/pictures.json.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measure import SCRIPTS, TOP, median, run, save, table

PLAIN, PREPARED = "plain resize", "prepared"


def hands(results: Path, count: int) -> dict[str, dict[str, float]]:
    """Return the shares of digits of ``count`` hands that are recognized."""
    sys.path += [str(SCRIPTS), str(TOP / "tests/support")]
    import numpy as np
    from PIL import Image

    from digit_pictures import drawing, photograph
    from image_workflow.inference.preparation import prepared
    from image_workflow.models.loading import classifier_of_results

    classifier = classifier_of_results(results, None)

    def share(pictures: list, labels: list[str]) -> dict[str, float]:
        images = {
            PLAIN: [np.asarray(each.convert("L").resize((28, 28))) for each in pictures],
            PREPARED: [prepared(each, classifier.input) for each in pictures],
        }
        found = {kind: classifier.predict(np.array(each)).labels for kind, each in images.items()}
        return {kind: float(np.mean(np.array(each) == labels)) for kind, each in found.items()}

    labels = [str(digit) for _ in range(count) for digit in range(10)]
    shares = {}
    for kind in (drawing, photograph):
        pictures = [
            kind(digit, np.random.default_rng([hand, digit]))
            for hand in range(count)
            for digit in range(10)
        ]
        shares[f"{len(labels)} {kind.__name__}s"] = share(pictures, labels)
    test = np.load(results / "arrays/test-images.npy", mmap_mode="r")[:1000]
    random, pictures = np.random.default_rng(0), []
    for image in test:
        side = int(random.integers(60, 300))
        sheet = Image.new("L", (400, 500))
        place = [int(random.integers(room - side)) for room in sheet.size]
        sheet.paste(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), place)
        pictures.append(sheet)
    labels = np.load(results / "arrays/test-labels.npy")[:1000].astype(str).tolist()
    own = np.mean(np.array(classifier.predict(test).labels) == labels)
    shares["1000 test images, moved"] = share(pictures, labels) | {"as they are": float(own)}
    return shares


def write_test_set(results: Path, folder: Path) -> None:
    """Write MNIST's test images as PNG files, every other one black on white."""
    import numpy as np
    from PIL import Image

    for number, image in enumerate(np.load(results / "arrays/test-images.npy")):
        Image.fromarray(255 - image if number % 2 else image).save(folder / f"{number:05}.png")


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary, "png"), Path(temporary, "predictions.csv")
        folder.mkdir()
        write_test_set(options.results, folder)
        program = [sys.executable, str(SCRIPTS / "predict.py"), "--model", str(options.results)]
        measured = {
            name: [run([*program, str(files), "--output", str(output)])]
            for name, files in {
                "10,000 PNG files": folder,
                "10,000 images in a .npy": options.results / "arrays/test-images.npy",
            }.items()
        }
    shares = hands(options.results, options.hands)
    table(
        ["recognized", PLAIN, PREPARED, "as they are"],
        (
            [
                name,
                *(
                    f"{100 * each[key]:.1f} %" if key in each else ""
                    for key in (PLAIN, PREPARED, "as they are")
                ),
            ]
            for name, each in shares.items()
        ),
    )
    table(
        ["predict.py", "seconds", "CPU seconds"],
        (
            [name, f"{median(runs):.1f}", f"{median(runs, 'cpu_seconds'):.1f}"]
            for name, runs in measured.items()
        ),
    )
    save("pictures", measured, shares=shares)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="pictures.py", description=__doc__)
    parser.add_argument("--results", type=Path, default=TOP / "results", help="of `make run`")
    parser.add_argument("--hands", type=int, default=20, help="how many write each digit")
    main(parser.parse_args())
