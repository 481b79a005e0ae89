"""jobgen: AI Studio background jobs for PaddleDetection, checked and tried before the upload.

The functions for other programs are in jobgen/api.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobgen.api import (
        Job,
        RunResult,
        build_job,
        check_path,
        load_job,
        plan_job,
        read_results,
        run_upload,
    )

__version__ = "0.1.0"
__all__ = [
    "Job",
    "RunResult",
    "__version__",
    "build_job",
    "check_path",
    "load_job",
    "plan_job",
    "read_results",
    "run_upload",
]


def __getattr__(name: str) -> Any:
    # The command imports this package at every start: the rest waits until it is asked for.
    if name in __all__:
        from jobgen import api

        return getattr(api, name)
    raise AttributeError(f"module 'jobgen' has no attribute {name!r}")
