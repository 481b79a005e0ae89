"""What a training of PaddleClas has otherwise than one of PaddleDetection."""

import os
import shutil
from typing import Any, Dict, List, Optional, Sequence

from jobgen_runtime.classify.configure import changed_values
from jobgen_runtime.classify.trainlog import parse_line
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, note
from jobgen_runtime.train.configure import amend_run_config
from jobgen_runtime.train.cures import FEW_WORKERS
from jobgen_runtime.train.training import How, Ways, launched
from jobgen_runtime.train.trainlog import TrainLine
from jobgen_runtime.train.trainwatch import TrainWatch


class ClassWatch(TrainWatch):
    """Reads PaddleClas's log as it is written."""

    FIGURES: Sequence[str] = ("top1", "top5", "eval_loss")
    # The first image that could not be read.
    bad_image = ""

    def parse(self, text: str) -> Optional[TrainLine]:
        said = parse_line(text)
        if said is None or said["kind"] != "evaluated":
            if said is not None and said["kind"] == "checkpoint":
                # It saves others too; only the best is the evaluation's.
                return said if said["line"].endswith("best_model") else None
            if said is not None and said["kind"] == "bad_image":
                self.bad_image = self.bad_image or said["image"]
            return said
        meters = said["meters"]
        found = {key: meters[key] for key in ("top1", "top5") if key in meters}
        self.evaluation = dict(found, eval_loss=meters.get("loss", -1.0))
        self.evaluated()
        return None

    def _judge(self, loss: float, epoch: int) -> None:
        if self.bad_image:
            raise StageError(
                "PaddleClas can't read %s, and would train on another image in its place"
                % self.bad_image,
                "Take it out of the set, or save it again; jobgen check --deep names all of them.",
                cause="data",
            )
        try:
            super()._judge(loss, epoch)
        except StageError as error:
            error.remedy = "Lower train.base_lr, or leave it auto."
            raise


def class_command(
    clone_dir: str, run_config: str, ways: Ways, resume: Optional[str] = None
) -> List[str]:
    """The command line of one training. Where it resumes stands in the config: `-o` makes text of
    everything."""
    amend_run_config(run_config, {"Global": {"checkpoints": resume}})
    return launched(ways) + [os.path.join(clone_dir, "tools", "train.py"), "-c", run_config]


def halve_class_batch(run_config: str, values: Dict[str, Any], why: str) -> Dict[str, Any]:
    """Half the batch, and the learning rate with it."""
    less = dict(values, batch_size=max(1, values["batch_size"] // 2))
    less["base_lr"] = round(values["base_lr"] * less["batch_size"] / values["batch_size"], 8)
    less["steps_per_epoch"] = -(-values["train_images"] // (less["batch_size"] * values["gpus"]))
    changed = changed_values(values, less, {"batch_size": why}, "it follows the batch")
    amend_run_config(run_config, changed)
    return less


class ClassReaderCures:
    """Fewer processes that read, then none; shared memory is not used to begin with."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def next(self, run_config: str, why: str) -> bool:
        """Change the run's config by the next cure; False where there is none left."""
        if self.workers == 0:
            return False
        fewer = FEW_WORKERS if self.workers > FEW_WORKERS else 0
        adjust("num_workers", self.workers, fewer, why)
        loader = {"loader": {"num_workers": fewer}}
        amend_run_config(run_config, {"DataLoader": {"Train": loader, "Eval": loader}})
        self.workers = fewer
        return True


def keep_last(save_dir: str) -> None:
    """The weights of the last epoch under PaddleDetection's name for them."""
    latest = os.path.join(save_dir, "latest.pdparams")
    goal = os.path.join(save_dir, "model_final.pdparams")
    if not os.path.isfile(latest):
        note("the training left no latest.pdparams")
        return
    shutil.copyfile(latest, goal + ".tmp")
    os.replace(goal + ".tmp", goal)


CLASSIFICATION = How(ClassWatch, class_command, halve_class_batch, ClassReaderCures, keep_last)
