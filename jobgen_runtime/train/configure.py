"""The `configure` stage: the two YAML files into the clone, and what this run changes beside them.

The bundle's files stay as they are. `<model>.run.yml` has its `_BASE_` on the model
YAML and holds only the changed keys, so that no value goes through `-o`.
"""

import os
import re
import shutil
from typing import Any, Dict, Optional, Sequence

from jobgen_runtime.children.processes import memory_facts
from jobgen_runtime.data.dataset import file_sha256
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, outcome, summary
from jobgen_runtime.record.text import count_text, write_text_atomically
from jobgen_runtime.setup.machine import core_count
from jobgen_runtime.train.schedule import schedulers, smoke_batch_size, training_values

# A process of the reader beside its batches: it shares most with the training it was forked from.
WORKER_BYTES = 300 << 20
MANY_WORKERS = 64
PLAIN_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_]\w*", re.I | re.A)


def yaml_scalar(value: Any) -> str:
    """A value as YAML 1.1 that PaddleDetection's loader reads back as the same value.

    Text is always quoted; a float always has a dot, as `1e-05` would be text there.
    """
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        if "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        return re.sub(r"e(\d)", r"e+\1", text)
    if isinstance(value, str):
        return '"%s"' % "".join(map(_yaml_char, value))
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(yaml_scalar(item) for item in value)
    if isinstance(value, dict):
        pairs = ["%s: %s" % (yaml_scalar(k), yaml_scalar(v)) for k, v in value.items()]
        return "{%s}" % ", ".join(pairs)
    raise TypeError("%r can't be written as YAML" % (value,))


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    code = ord(char)
    if code < 32 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029, 0xFEFF):
        return "\\u%04x" % code
    return char


def yaml_block(values: Dict[str, Any], indent: int = 0) -> str:
    """Nested dicts as YAML blocks, everything else in flow style, in the order given."""
    lines = []
    for key, value in values.items():
        name = key if PLAIN_KEY.fullmatch(key) else yaml_scalar(key)
        if isinstance(value, dict) and value:
            lines.append("%s%s:\n%s" % (" " * indent, name, yaml_block(value, indent + 2)))
        else:
            lines.append("%s%s: %s\n" % (" " * indent, name, yaml_scalar(value)))
    return "".join(lines)


def merge_dicts(base: Dict[str, Any], top: Dict[str, Any]) -> Dict[str, Any]:
    """`top` over `base` as PaddleDetection merges: dicts key by key, everything else whole."""
    merged = dict(base)
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge_dicts(merged[key], value)
        else:
            merged[key] = value
    return merged


def at_path(path: Sequence[str], value: Any) -> Dict[str, Any]:
    """`value` as the config has it at this path: dicts in dicts."""
    for key in reversed(path):
        value = {key: value}
    found: Dict[str, Any] = value
    return found


def copy_configs(
    home: str,
    clone_dir: str,
    dataset_file: str,
    model_file: str,
    hashes: Dict[str, str],
    folder: str,
) -> str:
    """Copy the bundle's YAML files to where PaddleDetection looks for them, below configs/ the
    model's into `folder`; give the model's path.

    Raises StageError where a file is missing or is not the one that was built.
    """
    goals = {dataset_file: "configs/datasets", model_file: "configs/" + folder}
    for name, place in goals.items():
        source = os.path.join(home, name)
        if not os.path.isfile(source):
            raise StageError(
                "%s is not in %s" % (name, home),
                "Put all three files of the bundle into the version, in the top folder.",
                cause="bundle",
            )
        wanted = hashes.get(name)
        if wanted and file_sha256(source) != wanted:
            raise StageError(
                "%s is not the file that was built with this notebook" % name,
                "Upload all three files of one build. To use an edited file on purpose, set its "
                "entry in FILE_HASHES to ''.",
                cause="bundle",
            )
        goal = os.path.join(clone_dir, *place.split("/"))
        os.makedirs(goal, exist_ok=True)
        shutil.copyfile(source, os.path.join(goal, name))
    return os.path.join(clone_dir, "configs", folder, model_file)


def prefetched_bytes(batch_size: int, largest_side: int) -> int:
    """What a process of the reader keeps ready: two batches of pictures at the largest input of
    training, as 32-bit numbers (paddle.io.DataLoader: prefetch_factor)."""
    return 2 * batch_size * 3 * largest_side**2 * 4


def workers_in_memory(batch_size: int, largest_side: int) -> int:
    """How many processes of the reader half of the free memory has room for; at least 1."""
    free = memory_facts().get("available")
    if free is None:
        return MANY_WORKERS
    each = WORKER_BYTES + prefetched_bytes(batch_size, largest_side)
    return max(1, min(MANY_WORKERS, free // 2 // each))


def most_workers(batch_size: int, largest_side: int, gpus: int) -> int:
    """How many processes may read for each card: PaddleDetection starts as many for every one."""
    memory = workers_in_memory(batch_size, largest_side) // gpus
    return max(1, min(core_count() // gpus, memory))


def run_values(
    plan: Dict[str, Any],
    epochs: int,
    batch_size: int,
    base_lr: Optional[float],
    gpus: int,
    workers: int,
    train_images: int,
) -> Dict[str, Any]:
    """The training values of this run: the plan's, moved by the plan's own rules where a
    parameter or the set differs from the plan. Raises StageError where they can't train."""
    most = most_workers(batch_size, plan["family"].get("largest_side", 0), gpus)
    values = dict(plan, worker_num=max(0, min(workers, most)))
    same = (
        epochs == plan["epochs"]
        and batch_size == plan["batch_size"]
        and base_lr in (None, plan["base_lr"])
        and gpus == plan["gpus"]
        and train_images == plan["train_images"]
    )
    if not same:
        if base_lr is None:
            per_image = plan["base_lr"] / float(plan["batch_size"] * plan["gpus"])
            base_lr = round(per_image * batch_size * gpus, 8)
        kept = (plan["repeat"], plan["parameters"], plan["family"])
        moved = training_values(train_images, epochs, batch_size, base_lr, gpus, *kept)
        moved = {key: value for key, value in moved.items() if key not in plan["overridden"]}
        values.update(moved, gpus=gpus, train_images=train_images)
    if values["steps_per_epoch"] < 1:
        raise StageError(
            "%d training images are fewer than one batch of %d on %d card(s)"
            % (train_images, batch_size, gpus),
            "Set train.batch_size in job.yaml to a smaller number, and build again.",
            cause="data",
        )
    return values


def smoke_values(
    plan: Dict[str, Any], batch_size: int, gpus: int, workers: int, train_images: int, device: str
) -> Dict[str, Any]:
    """The values of a smoke run: one epoch of a few steps."""
    batch_size = min(smoke_batch_size(batch_size, device), max(1, train_images // gpus))
    once = dict(plan, repeat=1)
    return run_values(once, 1, batch_size, None, gpus, workers, train_images)


RUN_REASONS = {"worker_num": "this machine's cores and memory"}


def changed_keys(
    plan: Dict[str, Any],
    values: Dict[str, Any],
    reasons: Dict[str, str] = RUN_REASONS,
    otherwise: str = "this run's parameters",
) -> Dict[str, Any]:
    """PaddleDetection's keys for the values that are not the plan's, each change recorded with
    its reason."""
    changed: Dict[str, Any] = {}
    for key, path in plan["family"]["paths"].items():
        if values[key] != plan[key]:
            changed = merge_dicts(changed, at_path(path, values[key]))
            adjust(".".join(path), plan[key], values[key], reasons.get(key, otherwise))
    moved = any(values[key] != plan[key] for key in ("epochs", "warmup_steps"))
    if moved and "schedulers" not in plan["overridden"]:
        schedule = schedulers(plan["family"], values["epochs"], values["warmup_steps"])
        changed = merge_dicts(changed, {"LearningRate": {"schedulers": schedule}})
    return changed


def roomier_lists(family: Dict[str, Any], most_boxes: int) -> Dict[str, Any]:
    """The training reader with room for every box; empty where it has it. A family that pads boxes
    to a number drops those beyond it without a word; images that are mixed bring theirs along."""
    padded = family.get("padded")
    wanted = most_boxes * padded["images"] if padded else 0
    if not padded or wanted <= padded["boxes"]:
        return {}
    adjust("PadBox.num_max_boxes", padded["boxes"], wanted, "the most boxes in the training images")
    steps = [
        {"PadBox": {"num_max_boxes": wanted}} if "PadBox" in step else step
        for step in padded["batch_transforms"]
    ]
    return {"TrainReader": {"inputs_def": {"num_max_boxes": wanted}, "batch_transforms": steps}}


def later_colours(family: Dict[str, Any]) -> Dict[str, Any]:
    """The training reader with its colours changed behind the resize, where the bundle says that
    this is the same training; empty elsewhere."""
    lists = family.get("later_colours")
    if not lists:
        return {}
    why = "the same colours, without changing those of pixels that the resize leaves out"
    adjust("RandomDistort", "before the resize", "behind it", why)
    return {"TrainReader": dict(lists)}


def amend_run_config(path: str, changed: Dict[str, Any]) -> None:
    """Write `<model>.run.yml` anew with more keys than this run has set so far."""
    run = outcome()
    run.data["run_config"] = merge_dicts(run.data.get("run_config") or {}, changed)
    write_text_atomically(path, yaml_block(run.data["run_config"]))


def write_run_config(
    model_path: str,
    place: Dict[str, Any],
    plan: Dict[str, Any],
    values: Dict[str, Any],
    device: str,
    weights: str,
    save_dir: str,
    as_built: bool = True,
) -> str:
    """Write `<model>.run.yml` beside the model YAML, and give its path. One that was edited on
    purpose, not `as_built`, may have reader's lists of its own.

    `place` is the data's place on this machine, `weights` the local path of the
    pretrained weights or empty for none.
    """
    changed: Dict[str, Any] = {}
    for key, split in (("TrainDataset", "train"), ("EvalDataset", "eval")):
        changed[key] = dict(place[split], dataset_dir=place["dataset_dir"])
    changed["TestDataset"] = {
        "dataset_dir": place["dataset_dir"],
        "anno_path": place["eval"]["anno_path"],
    }
    changed = merge_dicts(changed, changed_keys(plan, values))
    changed = merge_dicts(changed, roomier_lists(plan["family"], place["most_boxes"]))
    if as_built:
        changed = merge_dicts(changed, later_colours(plan["family"]))
    changed["use_gpu"] = device == "gpu"
    changed["pretrain_weights"] = weights or None
    changed["save_dir"] = save_dir
    stem = os.path.splitext(os.path.basename(model_path))[0]
    path = os.path.join(os.path.dirname(model_path), stem + ".run.yml")
    outcome().data["run_config"] = {"_BASE_": [os.path.basename(model_path)]}
    amend_run_config(path, changed)
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
    return path
