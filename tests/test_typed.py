"""What people type: another path for a job, a word with a slip, a Chinese keyboard's colon."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from jobgen.check.rules import rules
from jobgen.cli import COMMANDS, command_named
from jobgen.cli.after import copied
from jobgen.datasets.optional_keys import OPTIONAL_KEYS
from jobgen_runtime.record.outcome import LITTLE
from tests.conftest import ROOT, Answer
from tests.sets import Coco, write_zip


@pytest.mark.waits
def test_a_job_is_named_by_any_of_its_paths(jobgen: Callable[..., Answer], job: Path) -> None:
    assert jobgen("build", job.parent).code == 0
    upload = job.parent / "upload"
    for command in ("check", "build", "explain"):
        told = {
            jobgen(command, path, "--json").out.replace(str(path), "X")
            for path in (job, job.parent, upload, upload / "main.ipynb")
        }
        assert all(jobgen(command, path).code == 0 for path in (job, job.parent, upload)), told


def test_a_run_of_a_job_is_one_of_its_upload(jobgen: Callable[..., Answer], job: Path) -> None:
    answer = jobgen("run", job, "--yes", "--archive", "none.zip")
    assert answer.code != 0
    assert "jobgen build" in answer.err  # not built yet
    assert jobgen("build", job).code == 0
    for path in (job, job.parent, job.parent / "upload" / "main.ipynb"):
        said = jobgen("run", path, "--yes", "--no-check", "--archive", "none.zip")
        assert "none.zip" in said.err, said.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 40", 'epochs: "40"', "take the quotes away"),
        ("epochs: 40", "epochs: 40\n  lr: 0.1", "did you mean base_lr?"),
        ("epochs: 40", "epochs: 40\n  imgsz: 320", "unknown key imgsz"),
        ("train:\n  epochs", "train：\n  epochs", "replace ： by :"),
    ],
)
def test_a_slip_is_named(
    old: str, new: str, said: str, jobgen: Callable[..., Answer], job: Path
) -> None:
    text = job.read_text(encoding="utf-8")
    assert old in text
    job.write_text(text.replace(old, new), encoding="utf-8")
    answer = jobgen("check", job)
    assert answer.code != 0
    assert said in answer.out + answer.err


def test_a_model_by_its_short_name(jobgen: Callable[..., Answer], job: Path) -> None:
    text = job.read_text(encoding="utf-8")
    job.write_text(text.replace("picodet_xs_320_coco_lcnet", "picodet_xs_320"), encoding="utf-8")
    assert jobgen("build", job).code == 0
    assert (job.parent / "upload" / "picodet_xs_320_ships_lcnet.yml").is_file()


def test_every_key_that_init_shows_works(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "ships.zip", Coco().all_files())
    assert jobgen("init", "ships", "--archive", archive, "--folder", tmp_path / "j").code == 0
    path = tmp_path / "j" / "job.yaml"
    text = path.read_text(encoding="utf-8")
    shown = re.findall(r"^( *)# (.*)$", text, re.MULTILINE)
    assert len(shown) == sum(map(len, OPTIONAL_KEYS.values()))
    plain = jobgen("explain", path, "--json").json
    path.write_text(re.sub(r"^( *)# ", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    now = {row["name"]: row["value"] for row in jobgen("explain", path, "--json").json["values"]}
    assert now["log_iter"] == 20  # the example of an override
    now["log_iter"] = next(row["value"] for row in plain["values"] if row["name"] == "log_iter")
    assert {row["name"]: now[row["name"]] for row in plain["values"]} == {
        row["name"]: row["value"] for row in plain["values"]
    }
    assert jobgen("build", path, "--no-check").code == 0


def test_a_slip_in_a_command(jobgen: Callable[..., Answer]) -> None:
    answer = jobgen("biuld")
    assert answer.code == 2
    assert "jobgen build" in answer.err
    assert jobgen("-V").out.startswith("jobgen")
    assert "no parameters" in jobgen("templates", "show", "paddledetection").out


def test_what_a_stage_makes_goes_to_a_new_folder(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "a.jpg").write_bytes(b"picture")
    goal = tmp_path / "deep" / "goal"
    assert copied(made, goal) == goal
    assert [path.name for path in goal.iterdir()] == ["a.jpg"]
    assert [path.name for path in goal.parent.iterdir()] == ["goal"]
    answer = jobgen("infer", made, "--archive", "ships.zip", "-o", goal)
    assert (answer.code, "is there already" in answer.err) == (7, True)


def test_every_command_that_is_named_is_there() -> None:
    groups = {name: command_named(name) for name in COMMANDS}
    inner = {n: set(c.commands) for n, c in groups.items() if isinstance(c, click.Group)}
    assert {"dataset", "templates"} <= set(inner)
    said = [rule.remedy for rule in rules().values()] + [LITTLE]
    named = re.findall(r"jobgen ([a-z]+)", "\n".join(said))
    assert set(named) - {"on"} <= set(COMMANDS)
    pages = [*ROOT.glob("jobgen/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("README*.md")]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for group, word in re.findall(rf"jobgen ({'|'.join(inner)}) ([a-z]+)\b", text):
            assert word in inner[group], f"{path.name}: jobgen {group} {word}"
