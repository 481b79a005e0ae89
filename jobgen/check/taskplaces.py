"""What a task's disk has besides the uploaded files, and the commands that change it."""

from __future__ import annotations

from collections.abc import Mapping

from jobgen.catalog import families, platform, upstream_configs

HOME = platform().home

# What a clone has beside the files whose text is known.
UPSTREAM = frozenset(f"configs/{path}" for path in upstream_configs())

# What a checkout of PaddleDetection has at its top, in every branch from 2.5 on.
CLONE_TOPS = frozenset(
    [
        "activity",
        "benchmark",
        "configs",
        "dataset",
        "demo",
        "deploy",
        "docs",
        "industrial_tutorial",
        "ppdet",
        "scripts",
        "static",
        "test_tipc",
        "tools",
        "README.md",
        "README_cn.md",
        "README_en.md",
        "requirements.txt",
        "setup.py",
        "LICENSE",
        ".git",
        ".github",
        ".gitignore",
        ".pre-commit-config.yaml",
        ".style.yapf",
        ".travis",
        ".travis.yml",
    ]
)


CLONE_ONLY = ("configs", "ppdet", "tools", "deploy")


# Mounted, kept from one start to the next, or made by the platform.
OPEN_IN_HOME = ("data", "work", "external-libraries", "datasets", "models", ".cache", ".ipython")


# Commands that make no files of interest.
QUIET = frozenset(
    [
        "set",
        "echo",
        "ls",
        "ll",
        "pwd",
        "cat",
        "head",
        "tail",
        "df",
        "du",
        "free",
        "which",
        "find",
        "wc",
        "tree",
        "date",
        "grep",
        "nvidia-smi",
        "test",
        "[",
        "true",
        "false",
        "export",
        "pip",
        "pip3",
        "conda",
        "exit",
        "source",
        ".",
        "rm",
        "sleep",
        "ps",
        "kill",
        "chmod",
        "unset",
        "[[",
        "printf",
        "apt",
        "apt-get",
        "ulimit",
        "clear",
        "trap",
        *("tee", "sort", "uniq", "awk", "xargs", "cut", "tr", "wait", "touch"),
    ]
)


UNPACKERS = frozenset(("unzip", "tar", "7z", "7za", "unrar", "bsdtar"))


TOOLS = ("train.py", "eval.py", "infer.py", "export_model.py")


def upstream_files(texts: Mapping[str, str]) -> set[str]:
    """What of upstream's configs a clone has: some families are in some branches only."""
    some = (f"configs/{family.folder}/" for family in families().values() if family.revisions)
    absent = tuple(start for start in some if not any(f"{start}_base_" in path for path in texts))
    return {path for path in UPSTREAM if not path.startswith(absent)}
