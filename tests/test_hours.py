"""How long a job will take, said beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobgen.catalog import models
from jobgen.catalog.speeds import reading_ms, speeds, train_cost
from jobgen.job.hours import AI_STUDIO, Pictures, Place, Seen, about, as_read, expect
from jobgen.job.plan import Plan, make_plan
from jobgen.job.tasks import plan_any
from jobgen.machine.speeds import remember, seen_of, seen_runs, speeds_file
from jobgen.spec import load_any, parse_spec
from jobgen.yamlio import load
from tests.conftest import JOB, ROOT, Answer
from tests.sets import Coco, write_zip
from tests.test_check import SOUND_JOB

CPU = Place("here", "cpu", 2)
RUN = Seen(
    device="cpu",
    cores=2,
    model="picodet_xs_320_coco_lcnet",
    size=320,
    images_per_second=2.0,
    reading_ms=20.0,
    start=6.0,
    epoch_start=1.0,
    evaluation=13.0,
    eval_images=50,
    stages={"prepare": 1.0, "data": 1.0, "source": 1.0, "install": 4.0, "configure": 1.0,
            "smoke": 8.0, "collect": 1.0},
)  # fmt: skip


def planned(*changes: tuple[str, str]) -> Plan:
    text = JOB
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return make_plan(*parse_spec(load(text, "job.yaml")))


def test_the_tutorials_job_takes_what_the_tutorial_says() -> None:
    """928 images, 100 epochs, PicoDet-L 640 on a V100: 40 minutes of training."""
    plan = plan_any(*load_any(ROOT / "bundles" / "ssdd" / "job.yaml"))
    assert isinstance(plan, Plan)
    found = expect(plan, AI_STUDIO)
    training = next(part for part in found.parts if part.name == "training")
    assert 38 * 60 < training.seconds < 46 * 60
    assert training.least < training.seconds < training.most
    assert "stated: 39 of picodet_l_640_coco_lcnet on a V100" in training.origin
    assert found.seconds == sum(part.seconds for part in found.parts)
    assert found.waits == 0


def test_the_same_again_takes_what_it_took() -> None:
    plan = planned()
    values = {name: value.value for name, value in plan.values.items()}
    images = values["steps_per_epoch"] * values["batch_size"]
    parts = {part.name: part for part in expect(plan, CPU, [RUN]).parts}
    wanted = 6 + values["epochs"] * (images / 2.0 + 1)
    assert parts["training"].seconds == pytest.approx(wanted, rel=0.001)
    evaluations = -(-values["epochs"] // values["snapshot_epoch"])
    # 13 s for 50 images, 3 of them to start: here are 48 of them.
    assert parts["evaluations"].seconds == pytest.approx(evaluations * (3 + 10 / 50 * 48))
    assert parts["set-up"].seconds == 16
    assert "1 run(s) on such a machine, of picodet_xs_320 at 320 px" in parts["training"].origin


@pytest.mark.parametrize(
    ("run", "told"),
    [(RUN, True), (replace(RUN, cores=8), False), (replace(RUN, device="Tesla T4"), False)],
)
def test_only_runs_on_such_a_machine_tell(run: Seen, told: bool) -> None:
    training = expect(planned(), CPU, [run]).parts[1]
    assert ("on such a machine" in training.origin) is told


def test_a_run_of_the_same_model_counts_more_than_others() -> None:
    other = replace(RUN, model="picodet_l_640_coco_lcnet", size=640, images_per_second=9.0)
    found = [expect(planned(), CPU, runs) for runs in ([RUN], [other, RUN])]
    assert found[0].parts[1] == found[1].parts[1]
    alone = expect(planned(), CPU, [other]).parts[1]
    assert alone.most / alone.seconds > found[0].parts[1].most / found[0].parts[1].seconds


def test_another_model_is_scaled_by_its_cost() -> None:
    small = models()["picodet_xs_320_coco_lcnet"]
    assert train_cost(small, 640) == pytest.approx(4 * train_cost(small, 320))
    named = "config: picodet_xs_320_coco_lcnet"
    assert named in JOB
    larger = planned((named, "config: picodet_m_416_coco_lcnet"))
    times = [expect(plan, CPU, [RUN]).parts[1].seconds for plan in (planned(), larger)]
    ratio = train_cost(models()["picodet_m_416_coco_lcnet"], 416) / train_cost(small, 320)
    assert times[1] / times[0] == pytest.approx(ratio, rel=0.15)


def test_a_card_is_bounded_by_its_reader() -> None:
    plan = planned()
    large = expect(plan, AI_STUDIO, (), Pictures(12.0, 12.0))
    small = expect(plan, AI_STUDIO, (), Pictures(as_read(plan, 12.0, 3000), 12.0))
    assert large.waits > 0.6
    assert "the card waits for pictures" in large.parts[1].origin
    assert small.waits == 0
    assert large.parts[1].seconds > 2 * small.parts[1].seconds
    # Evaluation reads the pictures themselves either way.
    assert large.parts[2].seconds == small.parts[2].seconds
    assert as_read(plan, 0.48, 600) == 0.48


def test_several_cards_share_the_work_and_have_readers_of_their_own() -> None:
    plan = planned()
    card = replace(RUN, device="Tesla V100-SXM2-16GB", images_per_second=10.0)
    values = {name: value.value for name, value in plan.values.items()}
    one = expect(plan, AI_STUDIO, [card])
    four = expect(plan, AI_STUDIO, [card], None, {"gpus": 4})
    images = values["steps_per_epoch"] * values["batch_size"]
    assert f"{images} images x {values['epochs']} at 10/s" in one.parts[1].origin
    assert f"{4 * images} images x {values['epochs']} at 40/s" in four.parts[1].origin


@pytest.mark.parametrize(
    ("place", "run", "same"),
    [
        ("NVIDIA A10", "NVIDIA A100-SXM4-40GB", False),
        ("V100", "Tesla V100-SXM2-32GB", True),
        ("NVIDIA GeForce RTX 3080", "NVIDIA GeForce RTX 3080 Ti", False),
        ("NVIDIA GeForce RTX 3080", "NVIDIA GeForce RTX 3080", True),
    ],
)
def test_a_card_is_no_other_card(place: str, run: str, same: bool) -> None:
    assert Place("", place).has(replace(RUN, device=run)) is same


def test_colours_before_the_resize_cost_by_the_megapixel() -> None:
    row = speeds()["reader"]
    assert reading_ms(12, True) == 12 * 12 + 6 + 4
    assert reading_ms(12, False) - reading_ms(12, True) == 12 * row["colours_megapixel"] - 4
    assert reading_ms(12, False, colours=False) == 12 * 12 + 6


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1 s"), (14, "14 s"), (61, "60 s"), (95, "2 min"), (7200, "2.0 h")]
)
def test_an_expectation_is_no_more_exact_than_it_is(seconds: float, text: str) -> None:
    assert about(seconds) == text


def result(**changes: Any) -> dict[str, Any]:
    """result.json of a training on a CPU, as far as it tells of speed."""
    found: dict[str, Any] = {
        "schema": 1,
        "status": "ok",
        "smoke": False,
        "started": "2026-11-27T01:00:00Z",
        "device": "cpu",
        "machine": {"cores": 2, "gpus": []},
        "job": {"model": {"config": "picodet_xs_320", "input_size": "auto"}},
        "plan": {"gpus": 1},
        "dataset": {"counts": {"eval": {"images": 50}}},
        "smoke_step": {"reading": {"steps": {"Decode": 12.0, "rest": 8.0}}},
        "metrics": {"pace": {"images_per_second": 2.0, "start": 6.0, "evaluation": 13.0}},
        "stages": [{"name": "data", "status": "ok", "seconds": 1.0},
                   {"name": "train", "status": "ok", "seconds": 99.0}],
    }  # fmt: skip
    return {**found, **changes}


def test_what_a_run_took_is_remembered_once(tmp_path: Path) -> None:
    for started in ("1", "1", "2"):
        remember(tmp_path, result(started=started))
    seen = seen_runs(tmp_path)
    assert len(seen) == 2
    assert seen[0] == replace(RUN, epoch_start=0.0, stages={"data": 1.0})
    gpu = result(
        device="gpu", plan={"gpus": 2}, machine={"cores": 4, "gpus": [{"name": "Tesla V100-SXM2"}]}
    )
    card = seen_of(gpu)
    assert card is not None
    assert AI_STUDIO.has(card)
    assert card.images_per_second == 2.0


@pytest.mark.parametrize(
    "changes",
    [
        {"smoke": True}, {"status": "failed"}, {"weights": "x.pdparams"}, {"metrics": {}},
        {"job": {"model": {"config": "not_known"}}}, {"device": "gpu"}, {"machine": None},
        {"metrics": {"pace": {"images_per_second": "fast"}}}, {"stages": [1]}, {"dataset": []},
    ],
)  # fmt: skip
def test_what_is_no_training_is_not_remembered(changes: dict[str, Any], tmp_path: Path) -> None:
    assert seen_of(result(**changes)) is None
    remember(tmp_path, result(**changes))
    assert not speeds_file(tmp_path).exists()


def test_a_damaged_memory_forgets_what_is_damaged(tmp_path: Path) -> None:
    remember(tmp_path, result())
    path = speeds_file(tmp_path)
    torn = ['{"device": "cpu"', "[]", '{"device": 1, "more": 2}', "null"]
    path.write_text("\n".join([*torn, path.read_text(encoding="utf-8")]), encoding="utf-8")
    assert len(seen_runs(tmp_path)) == 1
    path.write_bytes(b"\xff\xfe")
    assert seen_runs(tmp_path) == []
    remember(tmp_path, result())  # says nothing, and does no harm


def test_commands_say_it(jobgen: Callable[..., Answer], job: Path) -> None:
    line = "on AI Studio's V100 ("
    assert line in jobgen("build", job).err
    assert line in jobgen("check", job).err
    answer = jobgen("explain", job, "--json")
    (expected,) = answer.json["expected"]
    assert expected["least"] < expected["seconds"] < expected["most"]
    assert [part["name"] for part in expected["parts"]] == [
        "set-up", "training", "evaluations", "after",
    ]  # fmt: skip


def test_this_machine_is_named_once_a_run_was_made_on_it(
    jobgen: Callable[..., Answer], job: Path
) -> None:
    from jobgen.machine.speeds import here
    from jobgen.settings import load_settings

    cores = here().cores
    remember(load_settings().cache, result(machine={"cores": cores, "gpus": []}))
    places = [e["place"] for e in json.loads(jobgen("explain", job, "--json").out)["expected"]]
    assert places == ["AI Studio's V100", f"this machine's {cores} cores"]


def test_a_run_reckons_with_the_size_of_its_pictures(tmp_path: Path) -> None:
    from jobgen.job.build import render
    from jobgen.machine.speeds import here
    from jobgen.packs.disk import find_pack
    from jobgen.packs.render import load_pack
    from jobgen.run.expected import expected_run, took_text
    from jobgen.settings import Settings

    text = SOUND_JOB.replace("dataset:\n", "dataset:\n  shrink: off\n", 1)
    spec, document = parse_spec(load(text, "job.yaml"))
    bundle = render(make_plan(spec, document), load_pack(find_pack(spec.template)))
    settings = Settings(tmp_path / "cache", None)
    assert expected_run(bundle, {}, settings, "cpu") is None
    remember(settings.cache, result(machine={"cores": here().cores, "gpus": []}))
    found = []
    for number, size in enumerate(((640, 480), (4000, 3000))):
        made = Coco()
        for record in (made.train, made.val):
            for image in record["images"]:
                image.update(width=size[0], height=size[1])
        archive = write_zip(tmp_path / f"{number}.zip", made.all_files())
        expected = expected_run(bundle, {}, settings, "cpu", [archive])
        assert expected is not None
        found.append(expected.parts[1].seconds)
    assert found[1] > found[0] + 1
    assert expected_run(bundle, {"SMOKE": True}, settings, "cpu") is None
    assert expected_run(bundle, {"EPOCHS": "many"}, settings, "cpu") is None
    longer = expected_run(bundle, {"EPOCHS": 100}, settings, "cpu")
    assert longer is not None
    assert longer.parts[1].seconds > 5 * found[0]
    assert took_text(longer, {"seconds": 61}).startswith("took 60 s; expected: about ")
