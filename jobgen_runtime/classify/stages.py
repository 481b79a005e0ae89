"""What the cells of a classification call, where the stage is another than detection's."""

import os

from jobgen_runtime.after.trained import given_weights
from jobgen_runtime.classify.after import Trained, draw_classes, evaluate_classes
from jobgen_runtime.classify.configure import (
    Here,
    read_config,
    smoke_run_values,
    this_runs_values,
    write_class_config,
)
from jobgen_runtime.classify.dataset import place_classes
from jobgen_runtime.classify.export import export_classes
from jobgen_runtime.classify.smoke import one_step, refuse_unread
from jobgen_runtime.classify.training import CLASSIFICATION
from jobgen_runtime.record.show import show_curves, show_pictures
from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.resume import fetch_checkpoints
from jobgen_runtime.train.schedule import smoke_images
from jobgen_runtime.train.training import Ways, claim_save_dir, train, training_identity
from jobgen_runtime.train.weights import pretrained_weights


def place_data(run: Run) -> None:
    """Find and unpack the data, and see that it is the job's. Sets `run.place`."""
    few = smoke_images(run.batch_size, run.cards, run.device) if run.smoke else 0
    run.place = place_classes(run.home, run.dataset, run.name, few)


def write_config(run: Run) -> None:
    """Fetch the pretrained weights, and write the config that is trained. Sets `run.values` and
    `run.config`."""
    settings, images = run.settings, run.place["train_images"]
    config = read_config(run.home, run.model_file, settings["FILE_HASHES"])
    if run.smoke:
        run.values = smoke_run_values(
            run.plan, run.batch_size, run.cards, run.workers, images, run.device
        )
    else:
        run.values = this_runs_values(
            run.plan, run.epochs, run.batch_size, run.base_lr, run.cards, run.workers, images
        )
    config["AMP"]["use_amp"] = run.amp
    begin_with = "" if run.trained_weights else run.pretrained
    missing = settings["PRETRAINED_MISSING"]
    weights = pretrained_weights(begin_with, run.home, settings["WEIGHTS_DIR"], missing, run.smoke)
    stem = os.path.splitext(run.model_file)[0]
    run.config = os.path.join(run.output, "scripts", stem + ".run.yaml")
    here = Here(run.device, weights, run.save_dir, run.seed)
    how = (run.plan, run.values, here, run.classes)
    write_class_config(config, run.config, run.place, *how)


def try_one_step(run: Run) -> None:
    """See that every image can be read, and take one step on real images."""
    refuse_unread(run.place, run.clone)
    one_step(run.clone, run.config, run.device, run.settings["SMOKE_TIMEOUT"])


def train_model(run: Run) -> None:
    """Train to the end, from a checkpoint of the same training where there is one; with
    TRAINED_WEIGHTS train nothing. Shows the curves."""
    if run.trained_weights:
        given_weights(run.trained_weights, run.home, run.save_dir)
        return
    hashes = run.settings["FILE_HASHES"]
    identity = training_identity(run.values, run.place, run.dataset, files=hashes, amp=run.amp)
    claim_save_dir(run.save_dir, identity, fresh=run.smoke)
    fetch_checkpoints(None if run.smoke else run.resume_from, run.home, run.save_dir, identity)
    stop_after = run.job["train"].get("patience") or 0
    ways = Ways(run.device, run.gpus, run.amp, run.on_oom, run.patience, run.nodes, stop_after)
    train(run.clone, run.config, run.save_dir, run.values, ways, CLASSIFICATION)
    show_curves()


def _trained(run: Run) -> Trained:
    return Trained(run.clone, run.config, run.save_dir, run.classes)


def measure_weights(run: Run) -> None:
    """Measure the best weights on the evaluation's images."""
    evaluate_classes(_trained(run), run.place, run.device)


def draw_predictions(run: Run) -> None:
    """Draw images with what is there and what was found. Shows a few of the pictures."""
    draw_classes(_trained(run), run.place, run.device, run.job["infer"]["images"])
    show_pictures("class above, prediction below")


def export_model(run: Run) -> None:
    """Write the model for deployment, and prove that it says the same."""
    export_classes(_trained(run), run.place, run.job["export"]["onnx"])
