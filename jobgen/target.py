"""What a path given for a job means: job.yaml, its folder, the upload folder, or the notebook."""

from __future__ import annotations

from pathlib import Path

JOB, UPLOAD, NOTEBOOK_ENDING = "job.yaml", "upload", ".ipynb"


def job_of(path: Path) -> Path:
    """The job.yaml that is meant; `path` itself where there is none."""
    folder = path.parent if path.suffix == NOTEBOOK_ENDING else path
    if folder.is_dir():
        for found in (folder / JOB, folder.parent / JOB):
            if found.is_file() and (found.parent == folder or folder.name == UPLOAD):
                return found
    return path


def upload_of(path: Path) -> Path:
    """The upload folder that is meant; `path` itself where there is none."""
    if path.suffix == NOTEBOOK_ENDING:
        return path.parent
    folder = path.parent if path.name == JOB else path
    is_job = path.name == JOB or (path / JOB).is_file()
    return folder / UPLOAD if is_job and not any(folder.glob("*" + NOTEBOOK_ENDING)) else path


def checked_of(path: Path) -> Path:
    """What is to be checked: a notebook stands for its folder, a job's folder for job.yaml."""
    if path.suffix == NOTEBOOK_ENDING and path.is_file():
        return path.parent
    if path.is_dir() and (path / JOB).is_file() and not any(path.glob("*" + NOTEBOOK_ENDING)):
        return path / JOB
    return path
