"""Run one of PaddleDetection's tools: python run_tool.py TOOL|-m MODULE [ARGUMENT ...]

OpenCV is imported before Paddle: Paddle 2.6.2 otherwise crashes on Debian 12
(exit status 139, Paddle issue 70538). The tool dies with its parent, so that a
killed notebook leaves nothing training on.
"""

import ctypes
import os
import runpy
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere do nothing."""
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if parent and os.getppid() != parent:
        sys.exit("the parent process has ended already")
    # What this process starts through this script, as the launcher does, has it as parent.
    os.environ["JOBGEN_PARENT"] = str(os.getpid())


def seed_everything(seed: int) -> None:
    """The same weights, order of images and augmentation in every run with this seed."""
    import random

    import numpy
    import paddle

    random.seed(seed)
    numpy.random.seed(seed)
    paddle.seed(seed)


def main() -> None:
    die_with_parent(int(os.environ.get("JOBGEN_PARENT", "0")))
    try:
        import cv2  # noqa: F401
    except ImportError:
        pass
    if sys.argv[1] == "-m":
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    if "JOBGEN_SEED" in os.environ:
        # Each process of several draws its own.
        seed_everything(
            int(os.environ["JOBGEN_SEED"]) + int(os.environ.get("PADDLE_TRAINER_ID", "0"))
        )
    tool = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(tool))
    runpy.run_path(tool, run_name="__main__")


if __name__ == "__main__":
    main()
