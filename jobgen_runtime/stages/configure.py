"""The `configure` stage."""

from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.configure import copy_configs, run_values, smoke_values, write_run_config
from jobgen_runtime.train.weights import pretrained_weights


def write_configs(run: Run) -> None:
    """Put the two YAML files in place, fetch the pretrained weights, and write what this run
    changes. Sets `run.values` and `run.config`."""
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
    run.config = write_run_config(
        model, run.place, run.plan, run.values, run.device, weights, run.save_dir
    )
