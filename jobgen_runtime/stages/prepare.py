"""The `prepare` stage."""

from jobgen_runtime.setup.machine import check_nodes, check_stages, check_values, prepare, use_seed
from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.resume import check_resume


def check_machine(run: Run) -> None:
    """See that what was asked for can be meant, and what this machine has. Sets `run.device`."""
    numbers = [run.gpus, run.epochs, run.batch_size]
    check_values(numbers, run.workers, run.base_lr, run.hours, run.stall_minutes)
    check_nodes(run.nodes)
    check_stages(run.stages, run.built_stages)
    use_seed(run.seed)
    check_resume(run.resume_from, run.home, run.smoke)
    run.device = prepare(run.home, run.wanted_device, run.gpus, run.smoke, run.paddle)
