"""The `train` stage."""

from jobgen_runtime.after.trained import given_weights
from jobgen_runtime.record.show import show_curves
from jobgen_runtime.stages.run import Run
from jobgen_runtime.stages.smoke import say_how_long, slow_reading
from jobgen_runtime.train.checkpoints import newest_checkpoint
from jobgen_runtime.train.resume import fetch_checkpoints
from jobgen_runtime.train.training import Ways, claim_save_dir, train, training_identity


def train_model(run: Run) -> None:
    """Train to the end, from a checkpoint of the same training where there is one; with
    TRAINED_WEIGHTS train nothing. Shows the curves."""
    if run.trained_weights:
        given_weights(run.trained_weights, run.home, run.save_dir)
        return
    more = {"files": run.settings["FILE_HASHES"], "amp": run.amp}
    if "shrink" in run.small:
        more["shrink"] = run.small["shrink"]
    identity = training_identity(run.values, run.place, run.dataset, **more)
    claim_save_dir(run.save_dir, identity, fresh=run.smoke)
    fetch_checkpoints(None if run.smoke else run.resume_from, run.home, run.save_dir, identity)
    start = newest_checkpoint(run.save_dir)
    say_how_long(run, start.epochs if start else 0)
    stop_after = run.job["train"].get("patience") or 0
    how = (run.device, run.gpus, run.amp, run.on_oom, run.patience, run.nodes)
    ways = Ways(*how, stop_after, slow_reading(run))
    train(run.clone, run.config, run.save_dir, run.values, ways)
    show_curves()
