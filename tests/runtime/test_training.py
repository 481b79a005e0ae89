"""The train stage, with a stand-in for tools/train.py that writes upstream's logs and files."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobgen_runtime.children.guard import Guard
from jobgen_runtime.children.processes import Finished, exit_text, program_path
from jobgen_runtime.record.collect import collect, loss_trend, verdict
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome, begin
from jobgen_runtime.setup.machine import Nodes, check_nodes
from jobgen_runtime.train.checkpoints import (
    best_weights,
    checkpoint_is_whole,
    find_weights,
    keep_best_before_resume,
    newest_checkpoint,
    score,
)
from jobgen_runtime.train.training import (
    Ways,
    claim_save_dir,
    death_of_a_rank,
    ranks_folder,
    train_command,
    training_identity,
)
from jobgen_runtime.train.trainwatch import TrainWatch, read_metrics
from tests.runtime.conftest import events
from tests.runtime.standin import TOOL, Bench

pytestmark = pytest.mark.waits


def rows(run: Outcome) -> list:
    return read_metrics(run.path("metrics.csv"))


def test_a_training_is_followed_to_its_end(bench: Bench, run: Outcome) -> None:
    bench.train()
    assert run.data["metrics"]["best"] == {
        "mAP": 0.2,
        "mAP50": 0.4,
        "mAP75": 0.0,
        "mAP_small": 0.1,
        "mAP_medium": 0.1,
        "mAP_large": 0.1,
        "epoch": 1,
    }
    assert run.data["stages"][-1]["text"].endswith("best mAP@0.5 0.400 (epoch 2)")
    assert [e["epoch"] for e in events(run, "evaluated")] == [0, 1, 2]
    assert len([r for r in rows(run) if "loss" in r]) == 6
    assert [r["mAP50"] for r in rows(run) if "mAP50" in r] == [0.1, 0.4, 0.3]
    assert Path(run.log_path("train")).read_text().count("Epoch:") == 6


def test_a_killed_training_says_how_and_where_to_go_on(bench: Bench, run: Outcome) -> None:
    with pytest.raises(StageError) as caught:
        bench.train(die_in=2)
    error = caught.value
    assert error.cause == "killed"
    assert error.exit_status == -9
    assert error.message.endswith("the training process was killed (SIGKILL)")
    assert error.remedy == "Its last whole checkpoint is epoch 2; run again to resume there."
    assert error.log == run.log_path("train")


def shipped(run: Outcome) -> Any:
    return pickle.loads(Path(run.path("weights", "best_model.pdparams")).read_bytes())


def test_the_next_run_goes_on_and_the_best_survives(bench: Bench, run: Outcome) -> None:
    with pytest.raises(StageError):
        bench.train(die_in=2)
    bench.train(scores=[0.0, 0.0, 0.05])
    assert events(run, "resume")[0]["epochs"] == 2
    assert run.data["metrics"]["best"]["mAP50"] == 0.4
    epochs = [r["epoch"] for r in rows(run) if "loss" in r]
    assert epochs == [0, 0, 1, 1, 2, 2]
    assert collect(str(bench.save_dir), [], smoke=False) == "ok"
    assert shipped(run) == {"w": 1}


def test_the_best_survives_two_resumes_and_a_collect_of_its_own(
    bench: Bench, run: Outcome, tmp_path: Path
) -> None:
    scores = [0.1, 0.9, 0.2, 0.3, 0.25]
    for die_in in (2, 4):
        with pytest.raises(StageError):
            bench.train(epochs=5, scores=scores, die_in=die_in)
    bench.train(epochs=5, scores=scores)
    again = begin(str(tmp_path / "output"), name="test")
    again.start("train")
    bench.train(epochs=5, scores=scores, raise_in=0)
    assert again.data["stages"][-1]["text"] == "trained already, 5 epochs"
    assert collect(str(bench.save_dir), [], smoke=False) == "ok"
    assert again.data["metrics"]["best"]["mAP50"] == 0.9
    assert shipped(again) == {"w": 1}


def test_a_best_that_was_not_saved_any_more_is_not_claimed(bench: Bench, run: Outcome) -> None:
    tool = bench.folder / "clone" / "tools" / "train.py"
    text = tool.read_text().replace(
        "    if score >= best:\n", "    if score >= best and epoch < 2:\n"
    )
    tool.write_text(text)
    bench.train(scores=[0.1, 0.4, 0.8])
    collect(str(bench.save_dir), [], smoke=False)
    assert run.data["metrics"]["best"]["mAP50"] == 0.4
    assert shipped(run) == {"w": 1}


def test_a_finished_training_is_not_done_again(bench: Bench, run: Outcome) -> None:
    bench.train()
    bench.train(raise_in=0)
    assert run.data["stages"][-1]["text"] == "trained already, 3 epochs"


def test_a_kill_before_the_first_checkpoint(bench: Bench) -> None:
    with pytest.raises(StageError) as caught:
        bench.train(die_in=0, signal=15)
    assert caught.value.remedy == "No checkpoint was written yet; run again to start anew."
    assert "was ended by SIGTERM" in caught.value.message


def test_out_of_memory_on_the_card(bench: Bench) -> None:
    with pytest.raises(StageError) as caught:
        bench.train(raise_in=0)
    assert caught.value.cause == "memory"
    assert "train.batch_size" in caught.value.remedy


def test_nan_stops_the_training(bench: Bench) -> None:
    with pytest.raises(StageError, match="the loss is nan since epoch 2") as caught:
        bench.train(losses=[3.0, "nan", "nan"])
    assert caught.value.cause == "nan"
    assert find_weights(str(bench.save_dir), "0")


def test_a_set_smaller_than_the_batch_stops_the_training(bench: Bench) -> None:
    tool = bench.folder / "clone" / "tools" / "train.py"
    tool.write_text(
        "print('[1] ppdet.engine WARNING: Samples in dataset are less than batch_size', flush=True)\n"
    )
    with pytest.raises(StageError, match="fewer images than one batch"):
        bench.train()


def test_what_is_only_logged_is_told(bench: Bench, run: Outcome) -> None:
    tool = bench.folder / "clone" / "tools" / "train.py"
    said = "print('[1] ppdet.data.source.coco WARNING: Illegal image file: a.jpg, and it will be ignored')\n"
    tool.write_text(said * 2 + tool.read_text())
    bench.train()
    notes = [item["text"] for item in run.data["notes"]]
    assert notes == ["PaddleDetection left out 2 image(s) that it could not find"]


def test_a_training_without_a_step_is_no_success(bench: Bench) -> None:
    (bench.folder / "clone" / "tools" / "train.py").write_text("print('all is well')\n")
    with pytest.raises(StageError, match="without a single logged step"):
        bench.train()


def test_several_cards_go_through_the_launcher(bench: Bench) -> None:
    argv = train_command("/c", "/c/m.run.yml", Ways("gpu", 2, True), "/s/1")
    assert argv[2:4] == ["-m", "paddle.distributed.launch"]
    assert argv[6:8] == ["--gpus", "0,1"]
    assert argv[1] == argv[8]
    assert argv[1].endswith("run_tool.py")
    assert argv[-4:] == ["--eval", "--amp", "-r", "/s/1"]
    several = train_command("/c", "/c/m.run.yml", Ways("cpu", 2, False))
    assert several[6:8] == ["--nproc_per_node", "2"]
    assert "-m" not in train_command("/c", "/c/m.run.yml", Ways("gpu", 1, False))


def test_several_machines_find_each_other(bench: Bench) -> None:
    nodes = Nodes(2, 1, "10.0.0.1:8090")
    argv = train_command("/c", "/c/m.run.yml", Ways("cpu", 1, False, nodes=nodes))
    assert argv[6:14] == [
        *("--nproc_per_node", "1", "--nnodes", "2", "--rank", "1"),
        *("--master", "10.0.0.1:8090"),
    ]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (Nodes(0, 0, None), "NNODES is 0"),
        (Nodes(2, 2, "a:1"), "NODE_RANK is 2, not from 0 to 1"),
        (Nodes(2, 0, None), "MASTER is None, not address:port of machine 0"),
        (Nodes(2, 0, "--x y:1"), "MASTER is '--x y:1'"),
    ],
)
def test_machines_that_can_not_find_each_other(nodes: Nodes, said: str) -> None:
    check_nodes(Nodes())
    check_nodes(Nodes(2, 1, "host-1.local:8090"))
    with pytest.raises(StageError, match=re.escape(said)):
        check_nodes(nodes)


def test_a_machine_that_is_not_the_first_has_no_steps_to_show(bench: Bench, run: Outcome) -> None:
    (bench.folder / "clone" / "tools" / "train.py").write_text("print('trained')\n")
    launcher = bench.folder / "paddle" / "distributed" / "launch"
    launcher.mkdir(parents=True)
    for place in (launcher.parent.parent, launcher.parent, launcher):
        (place / "__init__.py").write_text("")
    (launcher / "__main__.py").write_text("print('launched')\n")
    os.environ["PYTHONPATH"] = str(bench.folder)
    bench.options["nodes"] = Nodes(2, 1, "127.0.0.1:9")
    try:
        bench.train()
    finally:
        del os.environ["PYTHONPATH"]
    assert run.data["stages"][-1]["text"].startswith("machine 1 of 2, in ")


def test_the_launchers_exit_status_is_not_trusted(bench: Bench, run: Outcome) -> None:
    """It ends 0 though one of its processes was killed; that one's log has the cause."""
    ranks = Path(ranks_folder())
    code = TOOL.replace('    last = epoch == settings["epochs"] - 1\n', "    last = False\n")
    code = code.replace(
        "best = -1\n", "best = -1\nos.makedirs(%r, exist_ok=True)\n" % str(ranks), 1
    )
    code = code.replace(
        "    if epoch == settings",
        "    if epoch == 1:\n"
        "        open(%r, 'w').write('Traceback\\nRuntimeError: NCCL went away\\n')\n"
        "        sys.exit(0)\n"
        "    if epoch == settings" % str(ranks / "workerlog.1"),
        1,
    )
    (bench.folder / "clone" / "tools" / "train.py").write_text(code)
    with pytest.raises(StageError) as caught:
        bench.train()
    assert caught.value.message == (
        "the training ended in epoch 2 of 3: process 1: RuntimeError: NCCL went away"
    )
    assert death_of_a_rank() == "process 1: RuntimeError: NCCL went away"


def test_a_process_of_several_that_is_killed_is_named(bench: Bench) -> None:
    code = (
        "import sys\nprint('LAUNCH ERROR Container failed !!!')\n"
        "print(\"Container rank 1 status failed cmd ['x'] code -9 log /x/workerlog.1 \")\n"
        "print('LAUNCH INFO Exit code -9')\nsys.exit(247)\n"
    )
    (bench.folder / "clone" / "tools" / "train.py").write_text(code)
    with pytest.raises(StageError, match=r"process 1 of the training was killed \(SIGKILL\)") as it:
        bench.train()
    assert it.value.cause == "killed"
    assert it.value.exit_status == -9


def test_a_tool_below_a_launcher_runs_and_dies_with_it(bench: Bench, tmp_path: Path) -> None:
    """As paddle.distributed.launch does: the launcher is a module that starts run_tool.py."""
    runner = program_path("run_tool")
    (tmp_path / "launcher.py").write_text(
        "import subprocess, sys\nsys.exit(subprocess.call([sys.executable] + sys.argv[1:]))\n"
    )
    (tmp_path / "tool.py").write_text("import sys; print('ran', sys.argv[1]); sys.exit(3)\n")
    argv = [
        sys.executable,
        str(runner),
        "-m",
        "launcher",
        str(runner),
        str(tmp_path / "tool.py"),
        "x",
    ]
    env = dict(os.environ, JOBGEN_PARENT=str(os.getpid()), PYTHONPATH=str(tmp_path))
    answer = subprocess.run(argv, env=env, stdout=subprocess.PIPE)
    assert answer.returncode == 3
    assert answer.stdout.split() == [b"ran", b"x"]
    orphan = dict(env, JOBGEN_PARENT="1")
    assert subprocess.run(argv, env=orphan, stderr=subprocess.PIPE).returncode == 1


@pytest.mark.parametrize("part", ["pdparams", "pdopt", "pdema"])
@pytest.mark.parametrize("share", [0.999, 0.5, 0.1, 0.0])
def test_a_torn_checkpoint_is_passed_over(bench: Bench, part: str, share: float) -> None:
    bench.train(epochs=4, scores=[0.1] * 4)
    folder = bench.save_dir / "model.run"
    assert newest_checkpoint(str(bench.save_dir)).epochs == 3  # type: ignore[union-attr]
    path = folder / ("2." + part)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert newest_checkpoint(str(bench.save_dir)).epochs == 2  # type: ignore[union-attr]


def test_a_checkpoint_without_its_optimizer_is_not_whole(bench: Bench) -> None:
    bench.train(epochs=4, scores=[0.1] * 4)
    folder = bench.save_dir / "model.run"
    (folder / "2.pdopt").unlink()
    assert not checkpoint_is_whole(str(folder / "2"))
    assert newest_checkpoint(str(bench.save_dir)).epochs == 2  # type: ignore[union-attr]


def test_a_best_that_was_overwritten_and_not_marked_is_not_taken(
    bench: Bench, run: Outcome
) -> None:
    """A kill between PaddleDetection's saving and the mark: the file is another model's."""
    with pytest.raises(StageError):
        bench.train(scores=[0.1, 0.5, 0.0], die_in=2)
    kept = keep_best_before_resume(str(bench.save_dir))
    assert kept is not None
    best = bench.save_dir / "model.run" / "best_model.pdparams"
    best.write_bytes(pickle.dumps({"w": "worse"}))
    again = keep_best_before_resume(str(bench.save_dir))
    assert again == kept
    assert pickle.loads(Path(kept.path).read_bytes()) == {"w": 1}
    assert kept.metrics["mAP50"] == 0.5


def test_checkpoints_of_another_job_are_put_aside(bench: Bench, run: Outcome) -> None:
    place = {"sha256": {"train": "a", "eval": "b"}}
    values = {"epochs": 3, "worker_num": 4}

    def claim(values: Any = values, place: Any = place, classes: Any = ("x", "y")) -> None:
        dataset = {"classes": list(classes)}
        claim_save_dir(str(bench.save_dir), training_identity(values, place, dataset, amp=False))

    def there() -> bool:
        return find_weights(str(bench.save_dir), "model_final") is not None

    for change in (
        {"values": {"epochs": 4, "worker_num": 4}},
        {"place": {"sha256": {"train": "c", "eval": "b"}}},
        {"classes": ("y", "x")},
    ):  # type: Any
        claim()
        bench.train()
        claim()
        claim(values={"epochs": 3, "worker_num": 1})
        assert there(), "another machine's cores are no reason to train anew"
        claim(**change)
        assert not there()
    assert find_weights(str(bench.save_dir) + "-old-1", "model_final")


def test_a_smoke_run_starts_from_nothing(bench: Bench) -> None:
    claim_save_dir(str(bench.save_dir), "i", fresh=True)
    bench.train()
    claim_save_dir(str(bench.save_dir), "i", fresh=True)
    assert find_weights(str(bench.save_dir), "model_final") is None


def test_weights_of_an_earlier_job_are_not_listed(bench: Bench, run: Outcome) -> None:
    weights = Path(run.path("weights"))
    weights.mkdir()
    (weights / "best_model.pdparams").write_bytes(pickle.dumps({"w": "old"}))
    tool = bench.folder / "clone" / "tools" / "train.py"
    tool.write_text(tool.read_text().replace("if score >= best:", "if False:"))
    bench.train()
    collect(str(bench.save_dir), [], smoke=True)
    assert [p.name for p in weights.iterdir()] == ["model_final.pdparams"]


def test_collect_lists_weights_with_hashes(bench: Bench, run: Outcome) -> None:
    bench.train()
    assert collect(str(bench.save_dir), [], smoke=False) == "ok"
    listed = {item["path"]: item for item in run.data["artefacts"]}
    weights = listed["weights/best_model.pdparams"]
    path = Path(run.path("weights", "best_model.pdparams"))
    assert weights["bytes"] == path.stat().st_size
    assert len(weights["sha256"]) == 64
    assert not any(name.startswith("checkpoints") for name in listed)


def test_a_model_that_learned_nothing_is_untrained(bench: Bench, run: Outcome) -> None:
    bench.train(scores=[0.0, 0.0, 0.0])
    with pytest.raises(StageError) as caught:
        collect(str(bench.save_dir), [], smoke=False)
    assert caught.value.cause == "untrained"
    assert "mAP@0.5 is 0.000" in caught.value.message
    assert Path(run.path("weights", "model_final.pdparams")).is_file()


def test_verdicts() -> None:
    good = {"loss": {"first": 3.0, "last": 2.0}, "best": {"mAP50": 0.5}}
    assert verdict(good, False) == "ok"
    assert verdict(good, True) == "ok-smoke"
    flat = {"first": 2.0, "last": 2.0}
    weak = {"mAP50": 0.29}
    assert verdict(dict(good, loss=flat, best=weak), False).startswith("the loss did not fall")
    assert verdict(dict(good, best=weak), False) == "ok"
    # Fine-tuning from good weights has little left to fall.
    assert verdict(dict(good, loss=flat), False) == "ok"
    assert verdict(dict(good, best={"mAP50": 0.01}), False) == "ok"
    assert verdict(dict(good, best={"mAP50": 0.0099}), False) == "mAP@0.5 is 0.010"
    assert verdict(dict(good, best={}), False) == "mAP@0.5 is 0.000"
    assert loss_trend([{"loss": 1.0}]) is None
    assert loss_trend([{"loss": 2.0}, {"loss": float("nan")}, {"loss": 1.0}]) == {
        "first": 2.0,
        "last": 1.0,
    }
    assert loss_trend([{"loss": 3.0}, {"mAP": 1}, {"loss": 1.0}]) == {"first": 3.0, "last": 1.0}


def test_no_weights_at_all(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="the training left no weights"):
        collect(str(tmp_path / "nothing"), [], smoke=True)


def test_a_flat_loss_at_a_good_score_is_said_and_no_fault(bench: Bench, run: Outcome) -> None:
    bench.train(losses=[1.0, 1.0, 1.0], scores=[0.95, 0.95, 0.95])
    assert collect(str(bench.save_dir), [], smoke=False) == "ok"
    assert any("the loss did not fall" in note["text"] for note in run.data["notes"])


def test_what_an_older_run_exported_is_not_this_runs(bench: Bench, run: Outcome) -> None:
    for name in ("inference", "predictions", "evaluation"):
        (Path(run.folder) / name).mkdir()
        (Path(run.folder) / name / "x").write_text("old")
    run.start("evaluate")
    run.end("ok")
    run.start("collect")
    bench.train()
    collect(str(bench.save_dir), [], smoke=False)
    listed = {row["path"].partition("/")[0] for row in run.data["artefacts"]}
    assert "evaluation" in listed
    assert not {"inference", "predictions"} & listed
    assert (Path(run.folder) / "inference-old-1" / "x").read_text() == "old"
    assert not any("-old-" in row["path"] for row in run.data["artefacts"])


def test_the_trend_is_of_the_first_and_the_last_fifth() -> None:
    losses = [12.0, 10.0, 8.0, 6.0, *[5.0] * 12, 3.0, 2.0, 2.0, 1.0]
    rows = [{"epoch": 0, "loss": loss} for loss in losses]
    assert loss_trend(rows) == {"first": 9.0, "last": 2.0}


def test_a_curve_without_its_beginning_has_no_trend() -> None:
    """Only checkpoints of an earlier job were there, and not what it logged."""
    rows = [{"epoch": 1, "loss": 3.0}, {"epoch": 1, "loss": 1.0}]
    assert loss_trend(rows) is None
    assert loss_trend([{"epoch": 0, "loss": 3.0}, *rows]) == {"first": 3.0, "last": 1.0}


def test_best_is_by_map_as_paddledetection_picks_it(bench: Bench, run: Outcome) -> None:
    """Its best_model is the one of the highest mAP, whatever mAP@0.5 says."""
    watch = TrainWatch(run.path("metrics.csv"), str(bench.save_dir), 3, 0, {}, Guard(None))
    for values in ({"mAP": 0.3, "mAP50": 0.4}, {"mAP": 0.2, "mAP50": 0.9}):
        watch.evaluation = dict(values)
        watch.evaluated()
    assert watch.best["mAP"] == 0.3
    assert watch.best_of_attempt["mAP"] == 0.3
    assert score({"mAP": 0.1, "mAP50": 0.9}) < score({"mAP": 0.2, "mAP50": 0.3})
    assert score({"mAP50": 0.5}) == 0.5


def test_after_a_resume_the_best_of_the_attempt_is_marked_too(bench: Bench, run: Outcome) -> None:
    """PaddleDetection forgets the earlier best and saves its own: the mark must be of that file."""
    with pytest.raises(StageError):
        bench.train(scores=[0.5, 0.2, 0.3], die_in=1)
    bench.train(scores=[0.5, 0.2, 0.3])
    mark = json.loads(next(bench.save_dir.rglob("best_model.json")).read_text())
    assert mark["mAP50"] == 0.3
    found = best_weights(str(bench.save_dir))
    assert found is not None
    assert found.metrics["mAP50"] == 0.5


def test_numbers_between_those_that_are_none_begin_the_count_anew(bench: Bench) -> None:
    """Two steps an epoch: four are no numbers, never three in a row."""
    bench.train(losses=[float("nan"), 1.0, float("nan")], scores=[0.1, 0.2, 0.3])


def test_three_steps_in_a_row_that_are_no_numbers_stop_the_training(bench: Bench) -> None:
    with pytest.raises(StageError, match="the loss is nan since epoch 2"):
        bench.train(epochs=4, losses=[1.0, float("nan"), float("nan"), 1.0], scores=[0.1] * 4)


@pytest.mark.parametrize(
    ("memory", "said"), [(0.84, "was killed (SIGKILL)"), (0.86, "most likely out of memory")]
)
def test_from_which_share_of_memory_a_kill_is_told_as_its_lack(memory: float, said: str) -> None:
    text = exit_text(Finished(-9, 1.0, [], memory, False))
    assert said in text
    assert ("memory" in text) == (memory > 0.85)


SCORES = [0.1, 0.4, 0.3, 0.4, 0.2, 0.9]


def test_patience_ends_a_training_whose_best_stands(bench: Bench, run: Outcome) -> None:
    """As a success that says so; the best weights are those of the best evaluation."""
    bench.options["stop_after"] = 3
    bench.train(epochs=6, scores=SCORES, pause=0.05)
    assert [e["epoch"] for e in events(run, "evaluated")] == [0, 1, 2, 3, 4]
    assert run.data["metrics"]["ended_early"] == {"epoch": 5, "epochs": 6}
    assert "5 epochs of 6" in run.data["stages"][-1]["text"]
    assert any("the best has stood for 3 evaluations" in said["text"] for said in run.data["notes"])
    best = best_weights(str(bench.save_dir))
    assert best is not None
    assert best.metrics["mAP50"] == 0.4
    assert not (bench.save_dir / "finished").exists()


def test_without_patience_it_resumes_where_it_ended(bench: Bench, run: Outcome) -> None:
    bench.options["stop_after"] = 3
    bench.train(epochs=6, scores=SCORES, pause=0.05)
    bench.options.clear()
    bench.train(epochs=6, scores=SCORES)
    assert run.data["resumed_from_epoch"] == 5
    assert run.data["metrics"]["best"]["mAP50"] == 0.9


def test_patience_waits_for_a_first_find(bench: Bench, run: Outcome) -> None:
    bench.options["stop_after"] = 2
    bench.train(epochs=6, scores=[0.0, 0.004, 0.002, 0.001, 0.1, 0.2])
    assert len(events(run, "evaluated")) == 6
    assert "ended_early" not in run.data["metrics"]
