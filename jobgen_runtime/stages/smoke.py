"""The `smoke` stage."""

from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.smoke import smoke


def try_one_step(run: Run) -> None:
    """Take one step on real images, and one behind each epoch at which the model changes."""
    through = run.plan["family"]["through"]
    epochs = [0] + [run.values[name] for name in through]
    smoke(run.clone, run.config, run.device, run.settings["SMOKE_TIMEOUT"], epochs)
