"""The versions that a conda environment file pins."""

from pathlib import Path

from image_workflow.lineage.pins import pinned_packages, pinned_versions


def test_pins_are_read_from_the_pip_section(tmp_path: Path):
    path = tmp_path / "env.yaml"
    path.write_text(
        "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - a==1.0\n      - b-c[d]==2\n"
    )
    assert pinned_packages(path) == {"a": "1.0", "b-c[d]": "2"}
    assert pinned_versions(path) == {"python": "3.11", "a": "1.0", "b-c[d]": "2"}
