"""What the continuous integration on GitHub runs."""

import yaml

from checkout import TOP

WORKFLOW = yaml.safe_load((TOP / ".github/workflows/ci.yml").read_text(encoding="utf-8"))


def test_pip_audit_looks_at_each_lock_file():
    job = WORKFLOW["jobs"]["audit"]
    locks = sorted(path.stem for path in (TOP / "requirements").glob("*.txt"))
    assert sorted(job["strategy"]["matrix"]["lock"]) == locks
    (command,) = (step["run"] for step in job["steps"] if "run" in step)
    assert "pip-audit==" in command
    assert command.endswith("--require-hashes --disable-pip -r requirements/${{ matrix.lock }}.txt")


def test_no_job_may_write_to_the_repository():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [job for job in WORKFLOW["jobs"].values() if "permissions" in job]
