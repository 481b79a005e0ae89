"""The `configure` stage of a classification: the bundle's config with what this run changes."""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from jobgen_runtime.children.exchange import ask_child
from jobgen_runtime.children.processes import python_command
from jobgen_runtime.classify.schedule import PATHS, class_values
from jobgen_runtime.data.dataset import file_sha256
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, outcome, summary
from jobgen_runtime.record.text import count_text, write_text_atomically
from jobgen_runtime.setup.machine import core_count
from jobgen_runtime.train.configure import (
    RUN_REASONS,
    amend_run_config,
    at_path,
    merge_dicts,
)
from jobgen_runtime.train.schedule import smoke_batch_size


class Here(NamedTuple):
    """What is this run's own: the device, the local path of the pretrained weights or empty, the
    folder of the checkpoints, and the seed where one is set."""

    device: str
    weights: str
    save_dir: str
    seed: Optional[int]


def read_config(home: str, name: str, hashes: Dict[str, str]) -> Dict[str, Any]:
    """The bundle's config. Raises StageError where it is missing or not the one that was built."""
    path = os.path.join(home, name)
    if not os.path.isfile(path):
        raise StageError(
            "%s is not in %s" % (name, home),
            "Put both files of the bundle into the version, in the top folder.",
            cause="bundle",
        )
    if hashes.get(name) and file_sha256(path) != hashes[name]:
        raise StageError(
            "%s is not the file that was built with this notebook" % name,
            "Upload both files of one build. To use an edited file on purpose, set its entry in "
            "FILE_HASHES to ''.",
            cause="bundle",
        )
    # The stage install has seen to PyYAML, for children and not for this process.
    code = (
        "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1], "
        "encoding='utf-8'))))"
    )
    found: Dict[str, Any] = ask_child(
        python_command("-c", code, path), "configure", "reading %s" % name, home
    )
    return found


def this_runs_values(
    plan: Dict[str, Any],
    epochs: int,
    batch_size: int,
    base_lr: Optional[float],
    cards: int,
    workers: int,
    train_images: int,
) -> Dict[str, Any]:
    """The plan's values, moved by the plan's own rules where a parameter or the set differs.
    Raises StageError where they can't train."""
    values = dict(plan, worker_num=max(0, min(workers, core_count())))
    asked = (epochs, batch_size, cards, train_images)
    planned = tuple(plan[key] for key in ("epochs", "batch_size", "gpus", "train_images"))
    if asked != planned or base_lr not in (None, plan["base_lr"]):
        per_image = plan["base_lr"] / float(plan["batch_size"] * plan["gpus"])
        moved = class_values(train_images, epochs, batch_size, base_lr, cards, per_image)
        values.update({k: v for k, v in moved.items() if k not in plan["overridden"]})
    if batch_size * cards > train_images:
        raise StageError(
            "%d training images are fewer than one batch of %d on %d card(s)"
            % (train_images, batch_size, cards),
            "Set train.batch_size in job.yaml to a smaller number, and build again.",
            cause="data",
        )
    return values


def smoke_run_values(
    plan: Dict[str, Any], batch_size: int, cards: int, workers: int, images: int, device: str
) -> Dict[str, Any]:
    """One epoch of a few steps."""
    batch_size = min(smoke_batch_size(batch_size, device), max(1, images // cards))
    return this_runs_values(plan, 1, batch_size, None, cards, workers, images)


def changed_values(
    plan: Dict[str, Any], values: Dict[str, Any], reasons: Dict[str, str], otherwise: str
) -> Dict[str, Any]:
    """PaddleClas's keys for the values that are not the plan's, each change recorded."""
    changed: Dict[str, Any] = {}
    for key, path in PATHS.items():
        if values[key] != plan[key]:
            changed = merge_dicts(changed, at_path(path, values[key]))
            adjust(".".join(path), plan[key], values[key], reasons.get(key, otherwise))
    return changed


def write_class_config(
    config: Dict[str, Any],
    path: str,
    place: Dict[str, Any],
    plan: Dict[str, Any],
    values: Dict[str, Any],
    here: Here,
    classes: List[str],
) -> None:
    """Write the config that this run trains, whole: PaddleClas's have no bases."""
    weights = here.weights
    names = os.path.splitext(path)[0] + ".classes.txt"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    rows = ("%d %s\n" % row for row in enumerate(classes))
    write_text_atomically(names, "".join(rows))
    changed = changed_values(plan, values, RUN_REASONS, "this run's parameters")
    workers = values["worker_num"]
    own: Dict[str, Any] = {
        "Global": {
            "device": here.device,
            "output_dir": here.save_dir,
            "pretrained_model": weights[: -len(".pdparams")] if weights else None,
            "checkpoints": None,
        },
        "DataLoader": {"Eval": {"loader": {"num_workers": workers}}},
        "Infer": {"PostProcess": {"class_id_map_file": names}},
    }
    if here.seed is not None:
        own["Global"]["seed"] = here.seed
    for key, split in (("Train", "train"), ("Eval", "eval")):
        lists = {"image_root": place[split]["folder"], "cls_label_path": place[split]["list"]}
        own["DataLoader"] = merge_dicts(own["DataLoader"], {key: {"dataset": lists}})
    outcome().data["run_config"] = config
    amend_run_config(path, merge_dicts(changed, own))
    summary(
        "%s of %s, batch size %d, base_lr %s, %s"
        % (
            count_text(values["epochs"], "%d epoch", "%d epochs"),
            count_text(values["steps_per_epoch"], "%d step", "%d steps"),
            values["batch_size"],
            values["base_lr"],
            "weights from %s" % os.path.basename(weights) if weights else "from scratch",
        )
    )
