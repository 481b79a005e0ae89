"""The public functions, on a real job and a real run of its notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import jobgen
from jobgen import api
from jobgen.errors import SpecError
from tests.conftest import ROOT
from tests.sets import Coco, write_zip


def test_from_job_to_bundle(job: Path, tmp_path: Path) -> None:
    found = jobgen.load_job(job)
    assert found.spec.name == "ships"
    assert jobgen.plan_job(found).numbers()["epochs"] == 10
    bundle = jobgen.build_job(found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(bundle.files)
    assert not jobgen.check_path(job).errors
    assert not jobgen.check_path(tmp_path / "out").errors
    assert jobgen.load_job(job.parent).path == job


def test_faults_are_errors_with_their_place(job: Path) -> None:
    job.write_text(job.read_text("utf-8").replace("epochs: 40", "epochs: many"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"job\.yaml:17"):
        jobgen.load_job(job)
    assert [f.code for f in jobgen.check_path(job).errors] == ["SP001"]


def test_a_data_set(tmp_path: Path) -> None:
    made = Coco()
    del made.train["annotations"][0]["area"]
    path = write_zip(tmp_path / "s.zip", made.all_files())
    assert [finding.code for finding in jobgen.check_path(path)] == ["DS014"]


@pytest.mark.waits
def test_the_names_stay_whatever_is_imported_first() -> None:
    """No public name is that of a module, which an import would put in its place."""
    assert set(jobgen.__all__) - {"__version__"} == set(api.__all__)
    code = (
        "import jobgen.cli, jobgen.job.build, jobgen.check.whole, jobgen.run.local\n"
        "assert all(callable(getattr(jobgen, n)) for n in jobgen.__all__ if n != '__version__')\n"
        "try: jobgen.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.kernel
def test_a_run_and_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.whole import make_whole

    archive = write_zip(tmp_path / "set.zip", Coco().all_files())
    whole = make_whole(tmp_path / "w", archive.read_bytes())
    code, said = whole.run("--smoke")
    assert code == 0, said
    (result,) = jobgen.read_results(whole.output)
    assert result["status"] == "ok-smoke"
    with pytest.raises(jobgen.errors.RunError):
        jobgen.read_results(tmp_path / "w" / "upload")
