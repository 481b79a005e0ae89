"""The `configure` stage."""

from typing import Any, Dict

from jobgen_runtime.data.shrink import MOST_GRAIN, shrink, shrink_limits
from jobgen_runtime.record.outcome import outcome
from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.configure import copy_configs, run_values, smoke_values, write_run_config
from jobgen_runtime.train.cures import spare_shared_memory
from jobgen_runtime.train.weights import pretrained_weights


def write_configs(run: Run) -> None:
    """Put the two YAML files in place, fetch the pretrained weights, and write what this run
    changes; before that, large pictures are made smaller for training. Sets `run.small`,
    `run.values` and `run.config`."""
    run.small = _smaller(run)
    settings, images = run.settings, run.place["train_images"]
    files = (run.dataset_file, run.model_file, settings["FILE_HASHES"])
    folder = run.plan["family"]["folder"]
    model = copy_configs(run.home, run.clone, *files, folder)
    if run.smoke:
        run.values = smoke_values(
            run.plan, run.batch_size, run.cards, run.workers, images, run.device
        )
    else:
        run.values = run_values(
            run.plan, run.epochs, run.batch_size, run.base_lr, run.cards, run.workers, images
        )
    begin_with = "" if run.trained_weights else run.pretrained
    missing = settings["PRETRAINED_MISSING"]
    weights = pretrained_weights(begin_with, run.home, settings["WEIGHTS_DIR"], missing, run.smoke)
    as_built = bool(settings["FILE_HASHES"].get(run.model_file))
    where = (run.values, run.device, weights, run.save_dir, as_built)
    run.config = write_run_config(model, run.small, run.plan, *where)
    spare_shared_memory(run.config, run.values, outcome().data["machine"]["shared_memory_free"])


def _smaller(run: Run) -> Dict[str, Any]:
    """Where training reads its pictures. With given weights nothing is trained, so nothing is made
    smaller."""
    wanted = run.dataset.get("shrink", "auto")
    limits = shrink_limits(wanted, run.plan["family"]["largest_side"])
    if limits is None or run.trained_weights:
        return run.place
    most_grain = MOST_GRAIN if wanted == "auto" else None
    return shrink(run.home, run.name, run.place, limits, most_grain)
