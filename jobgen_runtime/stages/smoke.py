"""The `smoke` stage."""

from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.smoke import smoke


def try_one_step(run: Run) -> None:
    """Take one step through each of the model's assigners on real images."""
    switch = run.plan["family"]["paths"].get("switch_epoch", [])
    smoke(run.clone, run.config, run.device, run.settings["SMOKE_TIMEOUT"], switch)
