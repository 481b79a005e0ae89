"""What follows training: which weights, which images, which boxes are alike."""

import json
import os
import pickle
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jobgen_runtime.after.evaluate import EvalWatch, compare_figures, evaluate
from jobgen_runtime.after.infer import INFER_IMAGES, choose_images
from jobgen_runtime.after.trained import (
    as_coco,
    eval_sample,
    find_boxes,
    given_weights,
    spread,
    trained_weights,
)
from jobgen_runtime.record.collect import verdict
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.setup.machine import check_stages, use_seed
from jobgen_runtime.train.checkpoints import mark_best
from tests.runtime.standin import Bench

pytestmark = pytest.mark.waits


def weights(path: Path, value: Any = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"w": value}))
    return path


def test_the_best_weights_are_taken_and_their_figures_known(tmp_path: Path, run: Outcome) -> None:
    with pytest.raises(StageError, match="there are no trained weights"):
        trained_weights(str(tmp_path))
    weights(tmp_path / "model.run" / "model_final.pdparams")
    assert trained_weights(str(tmp_path)).path.endswith("model_final.pdparams")
    assert "this is model_final" in run.data["notes"][-1]["text"]
    weights(tmp_path / "model.run" / "best_model.pdparams")
    mark_best(str(tmp_path), {"mAP50": 0.5, "epoch": 3})
    found = trained_weights(str(tmp_path))
    assert (os.path.basename(found.path), found.metrics["mAP50"]) == ("best_model.pdparams", 0.5)


def test_what_a_record_claims_of_given_weights_is_no_measurement(
    tmp_path: Path, run: Outcome
) -> None:
    path = weights(tmp_path / "old" / "weights" / "best_model.pdparams")
    record = {"metrics": {"best": {"mAP50": 0.7, "epoch": 1}}}
    (tmp_path / "old" / "result.json").write_text(json.dumps(record))
    save = tmp_path / "save"
    weights(save / "99.pdparams")
    given_weights(str(path), str(tmp_path), str(save))
    assert trained_weights(str(save)).metrics == {}
    assert run.data["metrics"] == {"claimed_mAP50": 0.7}
    assert run.data["stages"][-1]["text"].endswith("whose record claims mAP@0.5 0.700")
    assert (save / "99.pdparams").exists()  # nothing of a training is removed
    assert run.data["weights"] == str(path)
    assert verdict({}, smoke=False, given=True) == "ok"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"w": 1})[:-3], "are torn"),
        (b"\x80\x02cos\nsystem\nX\1\0\0\0.\x85R.", "is not opened: it would import os.system"),
    ],
)
def test_weights_that_can_not_or_must_not_be_opened(
    tmp_path: Path, run: Outcome, content: bytes, message: str
) -> None:
    (tmp_path / "w.pdparams").write_bytes(content)
    with pytest.raises(StageError, match=message):
        given_weights("w.pdparams", str(tmp_path), str(tmp_path / "save"))


@pytest.mark.parametrize(
    "record",
    [
        "nothing", "[]", '{"metrics": 3}', '{"metrics": {"best": []}}',
        '{"metrics": {"best": {"mAP50": "0.9"}}}', '{"metrics": {"best": {"mAP50": 99.0}}}',
        '{"metrics": {"best": {"mAP50": NaN}}}',
    ],
)  # fmt: skip
def test_a_record_that_claims_nonsense_claims_nothing(
    tmp_path: Path, run: Outcome, record: str
) -> None:
    path = weights(tmp_path / "old" / "weights" / "best_model.pdparams")
    (tmp_path / "old" / "result.json").write_text(record)
    given_weights(str(path), str(tmp_path), str(tmp_path / "save"))
    assert run.data["metrics"] == {}


def test_images_are_spread_from_first_to_last() -> None:
    assert spread(list(range(10)), 20) == list(range(10))
    assert spread(list(range(100)), 4) == [0, 25, 50, 75]


class Place:
    """A set with images in folders, two of one name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("a/1.jpg", "b/1.jpg", "2.jpg", "loose.jpg"):
            path = folder / "img" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"jpeg")
        self._write("val.json", ["a/1.jpg", "b/1.jpg", "2.jpg"])
        self._write("train.json", ["3.jpg"])
        self.place: Dict[str, Any] = {"dataset_dir": str(folder)}
        for split, name in (("train", "train.json"), ("eval", "val.json")):
            self.place[split] = {"image_dir": "img", "anno_path": name}

    def _write(self, name: str, images: List[str]) -> None:
        record = {
            "images": [
                {"id": n, "file_name": image, "width": 2000, "height": 100}
                for n, image in enumerate(images)
            ],
            "annotations": [
                {
                    "id": n,
                    "image_id": 0,
                    "category_id": 7,
                    "bbox": [1, 2, 3, 4],
                    "iscrowd": n,
                }
                for n in (0, 1)
            ],
            "categories": [{"id": 5, "name": "boat"}, {"id": 7, "name": "ship"}],
        }
        (self.folder / name).write_text(json.dumps(record))


def test_images_are_chosen_by_name_wherever_they_are(tmp_path: Path, run: Outcome) -> None:
    place = Place(tmp_path).place
    names = [image.name for image in choose_images(place, [])]
    assert names == ["2.jpg", "a/1.jpg", "b/1.jpg"]
    assert len(names) < INFER_IMAGES
    one, other, loose = choose_images(place, ["a/1.jpg", "3.jpg", "loose.jpg"])
    # A crowd is no single object; the class number is the place among the categories.
    assert one.truth == [[1, 1, 2, 4, 6]]
    assert (other.name, other.truth, loose.truth) == ("3.jpg", [[1, 1, 2, 4, 6]], None)
    twice = choose_images(place, ["2.jpg", "2.jpg", "loose.jpg"])
    assert [image.name for image in twice] == ["2.jpg", "loose.jpg"]
    with pytest.raises(StageError, match=r"1\.jpg is there 2 times: a/1\.jpg, b/1\.jpg"):
        choose_images(place, ["1.jpg"])
    with pytest.raises(StageError, match=r"infer\.images: no\.jpg is no image of this set"):
        choose_images(place, ["no.jpg"])


def test_boxes_become_cocos(tmp_path: Path, run: Outcome) -> None:
    sample = eval_sample(Place(tmp_path).place, 2)
    assert (sample.ids, sample.side) == ([0, 1], 2000)
    assert all(path.startswith(str(tmp_path)) for path in sample.paths)
    rows = as_coco([[[1, 0.5, 10, 20, 40, 60]], []], sample.ids, [5, 7])
    assert rows == [{"image_id": 0, "category_id": 7, "bbox": [10, 20, 30, 40], "score": 0.5}]


def test_what_eval_prints_is_held_against_its_boxes(run: Outcome) -> None:
    watch = EvalWatch()
    for iou, value in (("0.50:0.95", 0.142), ("0.50     ", 0.412)):
        watch.line(
            " Average Precision  (AP) @[ IoU=%s | area=   all | maxDets=100 ] = %.3f" % (iou, value)
        )
    assert watch.figures == {"mAP": 0.142, "mAP50": 0.412}
    assert not watch.ended
    watch.line("[11/24] ppdet.engine INFO: Total sample number: 48, average FPS: 12.3")
    assert watch.ended
    compare_figures(watch.figures, {"mAP": 0.1418, "mAP50": 0.4115}, {"mAP50": 0.412})
    assert run.data["notes"] == []
    compare_figures(watch.figures, {"mAP": 0.1418, "mAP50": 0.4115}, {"mAP50": 0.5})
    assert run.data["notes"][0]["text"] == (
        "mAP50 is 0.411 here; training's record says 0.500 of the same weights"
    )
    with pytest.raises(StageError, match=r"eval.py says mAP50 0\.412, but its boxes give 0\.4300"):
        compare_figures(watch.figures, {"mAP": 0.142, "mAP50": 0.43}, {})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("print('nothing at all')", "neither boxes nor its last line are there"),
        ("raise SystemExit(3)", "tools/eval.py ended with exit status 3"),
        (
            "print('[1] ppdet.utils.checkpoint INFO: The shape [1] in pretrained weight w is unmatched with the shape [2]')",
            "the weights are another model's",
        ),
    ],
)
def test_an_evaluation_that_was_none(
    bench: Bench, run: Outcome, monkeypatch: pytest.MonkeyPatch, said: str, message: str
) -> None:
    """A stand-in for tools/eval.py, and for the model whose one weight fits."""
    clone = bench.folder / "clone"
    core = clone / "ppdet" / "core"
    core.mkdir(parents=True)
    (clone / "paddle.py").write_text(
        "import pickle\ndef set_device(name): pass\ndef load(path): return {}\n"
    )
    for folder in (core.parent, core):
        (folder / "__init__.py").write_text("")
    (core / "workspace.py").write_text(
        "class Config(dict):\n    architecture = 'Model'\n"
        "class Model:\n"
        "    def load_meanstd(self, transforms): pass\n"
        "    def state_dict(self): return {}\n"
        "    def set_dict(self, values): pass\n"
        "    def eval(self): pass\n"
        "def load_config(path): return Config(TestReader={'sample_transforms': []})\n"
        "def create(name): return Model()\n"
    )
    (clone / "tools" / "eval.py").write_text(said + "\n")
    monkeypatch.setenv("PYTHONPATH", str(clone))
    weights(bench.save_dir / "best_model.pdparams")
    mark_best(str(bench.save_dir), {"mAP50": 0.5, "epoch": 1})
    place = Place(bench.folder / "set").place
    with pytest.raises(StageError, match=message):
        evaluate(str(clone), str(bench.path), str(bench.save_dir), place, ["boat", "ship"], "cpu")


def test_weights_of_another_model_have_their_own_cause(
    bench: Bench, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's words become the message; PaddleDetection would have said nothing."""
    core = bench.folder / "clone" / "ppdet" / "core"
    core.mkdir(parents=True)
    (bench.folder / "clone" / "paddle.py").write_text(
        "import pickle\ndef set_device(name): pass\n"
        "def load(path): return pickle.load(open(path, 'rb'))\n"
    )
    for folder in (core.parent, core):
        (folder / "__init__.py").write_text("")
    (core / "workspace.py").write_text(
        "class Config(dict):\n    architecture = 'Model'\n"
        "class Model:\n"
        "    def load_meanstd(self, transforms): pass\n"
        "    def state_dict(self): return {'w': Weight(), 'v': Weight()}\n"
        "class Weight: shape = (2, 3)\n"
        "def load_config(path): return Config(TestReader={'sample_transforms': []})\n"
        "def create(name): return Model()\n"
    )
    path = bench.folder / "w.pdparams"
    path.write_bytes(pickle.dumps({"u": 1}))
    monkeypatch.setenv("PYTHONPATH", str(bench.folder / "clone"))
    with pytest.raises(StageError) as caught:
        find_boxes(str(bench.folder / "clone"), "c.yml", str(path), [], "cpu", "evaluate")
    assert caught.value.cause == "weights"
    assert caught.value.message.startswith(
        "the weights are another model's: 3 faults: w is missing"
    )


def test_parameters_of_the_stages(run: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBGEN_SEED", raising=False)
    check_stages(["export"], ["evaluate", "export"])
    with pytest.raises(StageError, match="STAGES is"):
        check_stages(["infer"], ["evaluate", "export"])
    with pytest.raises(StageError, match="nothing follows training in this notebook"):
        check_stages("evaluate", [])
    use_seed(7)
    assert (os.environ["JOBGEN_SEED"], run.data["seed"]) == ("7", 7)
    use_seed(None)
    assert "JOBGEN_SEED" not in os.environ
    for value in (-1, True, 1.5, "7"):
        with pytest.raises(StageError, match="SEED is"):
            use_seed(value)
