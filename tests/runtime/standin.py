"""A stand-in for PaddleDetection's tools/train.py: upstream's logs and files, and its faults."""

import json
from pathlib import Path
from typing import Any, Dict

from jobgen_runtime.record.outcome import outcome
from jobgen_runtime.train.configure import amend_run_config
from jobgen_runtime.train.training import Ways, train

# What a bundle carries of a family whose config has a switch.
FAMILY: Dict[str, Any] = {
    "folder": "picodet",
    "base_lr_per_image": 0.00125,
    "schedule": [
        {"name": "CosineDecay", "max_epochs": [1, 1]},
        {"name": "LinearWarmup", "start_factor": 0.1},
    ],
    "warmup": {"steps": 300},
    "turns": {"switch_epoch": {"part": [1, 3], "most": 100}},
    "through": ["switch_epoch"],
    "losses": ["loss_vfl", "loss_bbox", "loss_dfl"],
    "largest_side": 384,
    "paths": {
        "epochs": ["epoch"],
        "snapshot_epoch": ["snapshot_epoch"],
        "log_iter": ["log_iter"],
        "worker_num": ["worker_num"],
        "repeat": ["TrainDataset", "repeat"],
        "batch_size": ["TrainReader", "batch_size"],
        "eval_batch_size": ["EvalReader", "batch_size"],
        "base_lr": ["LearningRate", "base_lr"],
        "switch_epoch": ["Head", "static_epoch"],
    },
}

TOOL = """
import json, math, os, pickle, re, signal, sys, time
path = sys.argv[sys.argv.index("-c") + 1]
settings = json.load(open(os.path.join(os.path.dirname(path), "standin.json")))
text = open(path).read()
base = re.match(r'_BASE_: \\["(.*)"\\]', text)
if base:
    text += open(os.path.join(os.path.dirname(path), base.group(1))).read()
    settings["save_dir"] = re.search('save_dir: "(.*)"', text).group(1)
    settings.update(json.loads(os.environ.get("FLAGS_standin", "{}")))
workers = int(re.search(r"worker_num: (\\d+)", text).group(1))
batch_size = int(re.search(r"batch_size: (\\d+)", text).group(1))
save = os.path.join(settings["save_dir"], "model.run")
os.makedirs(save, exist_ok=True)
first = 0
if "-r" in sys.argv:
    first = pickle.load(open(sys.argv[sys.argv.index("-r") + 1] + ".pdopt", "rb"))["last_epoch"]

class Tensor:
    # As Paddle's own: builtins.tuple is called for it.
    def __reduce__(self):
        return tuple, (("w_moment_0", b"m"),)

def keep(name, epoch):
    for part in ("pdparams", "pdema"):
        weights = {"w": epoch}
        if settings["megabytes"]:
            weights["x"] = b"x" * int(1e6 * settings["megabytes"])
        pickle.dump(weights, open(os.path.join(save, name + "." + part), "wb"))
    optimizer = {"moment": Tensor(), "last_epoch": epoch + 1, "moments": b"m" * 5000}
    pickle.dump(optimizer, open(os.path.join(save, name + ".pdopt"), "wb"))

best = -1
print("Warning: noise", flush=True)
if "use_shared_memory: true" in text and settings["bus_error"]:
    sys.exit("ERROR: Unexpected BUS error encountered in DataLoader worker. "
             "This might be caused by insufficient shared memory (shm).")
if workers > settings["most_workers"]:
    sys.exit("RuntimeError: (External) DataLoader worker(s) exited unexpectedly")
if batch_size > settings["card"]:
    raise MemoryError("Out of memory error on GPU 0. Cannot allocate 1 GB memory on GPU 0")
for epoch in range(first, settings["epochs"]):
    for step in range(2):
        loss = settings["losses"][epoch] if settings["losses"] else 4.0 - epoch * 0.5 - step * 0.1
        rate = 0.01 * (1 - (epoch * 2 + step) / (settings["epochs"] * 2))
        print("[11/22 22:22:48] ppdet.engine INFO: Epoch: [%d] [ %d/2] learning_rate: %.6f "
              "loss_vfl: 1.0 loss_bbox: 1.0 loss_dfl: 1.0 loss: %s eta: 0:09:09 batch_cost: 2.0 "
              "data_cost: %s ips: 3.9 images/s" % (epoch, step, rate, loss, settings["data_cost"]), flush=True)
        time.sleep(settings["pause"])
    if epoch == settings["die_in"]:
        os.kill(os.getpid(), settings["signal"])
    if epoch == settings["raise_in"]:
        raise MemoryError("Out of memory error on GPU 0")
    if epoch == settings["full_in"]:
        raise OSError(28, "No space left on device")
    if epoch == settings["hang_in"]:
        if settings["reader_said"]:
            print("Exception in thread Thread-1:", flush=True)
            print("AttributeError: 'bytes' object has no attribute 'shape'", flush=True)
        time.sleep(600)
    last = epoch == settings["epochs"] - 1
    keep("model_final" if last else str(epoch), epoch)
    print("[1] ppdet.utils.checkpoint INFO: Save checkpoint: x", flush=True)
    score = settings["scores"][epoch]
    if settings["by_rate"]:  # as if 0.02 were the best learning rate
        rate = float(re.search("base_lr: ([0-9.e-]+)", text).group(1))
        score *= max(0.0, 1 - abs(math.log10(rate / 0.02)))
    for name, iou in (("0.50:0.95", score / 2), ("0.50     ", score), ("0.75     ", 0)):
        print(" Average Precision  (AP) @[ IoU=%s | area=   all | maxDets=100 ] = %.3f" % (name, iou))
    for area in (" small", "medium", " large"):
        print(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=%s | maxDets=100 ] = 0.1" % area)
    if score >= best:
        best = score
        keep("best_model", epoch)
        print("[1] ppdet.utils.checkpoint INFO: Save checkpoint: x", flush=True)
"""
SOUND: Dict[str, Any] = {
    "epochs": 3,
    "losses": [],
    "scores": [0.1, 0.4, 0.3],
    "pause": 0,
    "data_cost": 0.1,
    "megabytes": 0,
    "signal": 9,
    "die_in": -1,
    "raise_in": -1,
    "full_in": -1,
    "hang_in": -1,
    "reader_said": False,
    "by_rate": False,
    "bus_error": False,
    "most_workers": 99,
    "card": 99,
}


class Bench:
    """A clone whose tools/train.py is the stand-in, and the run's config that it reads.

    `config` are keys of PaddleDetection, `options` what train() takes; `train` takes the
    stand-in's own settings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.save_dir = folder / "output" / "checkpoints"
        self.path = folder / "model.run.yml"
        self.config: Dict[str, Any] = {"worker_num": 4, "TrainReader": {"batch_size": 8}}
        self.options: Dict[str, Any] = {}
        (folder / "clone" / "tools").mkdir(parents=True)
        (folder / "clone" / "tools" / "train.py").write_text(TOOL)

    def values(self, epochs: int) -> Dict[str, Any]:
        return {
            "epochs": epochs,
            "batch_size": 8,
            "base_lr": 0.01,
            "gpus": 1,
            "train_images": 160,
            "repeat": 1,
            "steps_per_epoch": 20,
            "warmup_steps": 6,
            "eval_batch_size": 8,
            "worker_num": 4,
            "snapshot_epoch": 1,
            "log_iter": 4,
            "switch_epoch": 1,
            "overridden": [],
            "family": FAMILY,
        }

    def train(self, **changes: Any) -> None:
        settings = {"save_dir": str(self.save_dir), **SOUND, **changes}
        outcome().data["run_config"] = {}
        (self.folder / "standin.json").write_text(json.dumps(settings))
        amend_run_config(str(self.path), self.config)
        clone, values = str(self.folder / "clone"), self.values(settings["epochs"])
        ways = Ways("cpu", 1, False, **self.options)
        train(clone, str(self.path), str(self.save_dir), values, ways)

    def text(self) -> str:
        """The run's config as it stands."""
        return self.path.read_text(encoding="utf-8")
