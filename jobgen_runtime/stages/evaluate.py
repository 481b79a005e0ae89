"""The `evaluate` stage."""

from jobgen_runtime.after.evaluate import evaluate
from jobgen_runtime.stages.run import Run


def measure_weights(run: Run) -> None:
    """Measure the best weights on the evaluation's images."""
    where = (run.clone, run.config, run.save_dir, run.place)
    evaluate(*where, run.classes, run.device, run.patience, run.tiles)
