"""The command line itself: help, exit codes, and that docs/commands.md knows every command."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from jobgen import __version__, errors
from jobgen.cli import COMMANDS, main
from tests.conftest import ROOT, Answer
from tests.sets import Coco, write_zip


def test_help_names_every_command(jobgen: Callable[..., Answer]) -> None:
    answer = jobgen("--help")
    assert answer.code == 0
    for name, text in COMMANDS.items():
        assert name in answer.out
        assert text in answer.out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_an_example_and_a_word_in_both_languages(
    jobgen: Callable[..., Answer], name: str
) -> None:
    answer = jobgen(name, "--help")
    assert answer.code == 0
    assert f"jobgen {name}" in answer.out.split("Examples:")[1]
    for page in ("commands.md", "commands.zh-CN.md"):
        assert f"jobgen {name}" in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_version_and_usage(jobgen: Callable[..., Answer]) -> None:
    assert __version__ in jobgen("--version").out
    assert jobgen("no-such-command").code == 2
    assert jobgen("build").code == 2


def test_exit_codes_are_unique() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    classes = [c for c in classes if issubclass(c, errors.JobgenError)]
    codes = [int(vars(c)["exit_code"]) for c in classes]
    assert sorted(codes) == [1, 3, 4, 5, 6, 7, 8]


def test_an_error_has_no_traceback_without_debug(jobgen: Callable[..., Answer]) -> None:
    answer = jobgen("build", "no/job.yaml")
    assert answer.code == 3
    assert answer.err.startswith("error: no/job.yaml: No such file or directory\n")
    with pytest.raises(errors.SpecError):
        jobgen("--debug", "build", "no/job.yaml")


def test_help_imports_no_heavy_module() -> None:
    code = (
        "import sys\nfrom jobgen.cli import main\n"
        "try: main(['--help'], prog_name='jobgen')\nexcept SystemExit: pass\n"
        "heavy = {'pydantic', 'jinja2', 'nbformat', 'yaml', 'rich', 'nbclient'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_console_in_another_encoding_does_not_break(tmp_path: object) -> None:
    argv = [sys.executable, "-m", "jobgen", "build", "船.yaml"]
    env = {"PYTHONIOENCODING": "cp1252", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(argv, env=env, capture_output=True, check=False)
    assert answer.returncode == 3
    assert rb"\u8239.yaml: No such file" in answer.stderr


def test_links_in_the_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) >= 10
    for page, target in links:
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_document_for_users_is_there_in_both_languages() -> None:
    english = [ROOT / "README.md", ROOT / "docs" / "job.md", ROOT / "docs" / "result.md"]
    for page in english:
        other = page.with_suffix(".zh-CN.md")
        headings = [p.read_text(encoding="utf-8").count("\n## ") for p in (page, other)]
        assert headings[0] == headings[1], page.name


def test_a_reader_that_has_gone_is_no_error() -> None:
    """As in `jobgen check --rules | head`: no message, no traceback."""
    argv = [sys.executable, "-m", "jobgen", "check", "--rules"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def on_terminal(*arguments: str, **env: str) -> str:
    """What a call writes to a terminal."""
    main_end, other_end = pty.openpty()
    argv = [sys.executable, "-m", "jobgen", *arguments]
    started = subprocess.Popen(argv, stdout=other_end, stderr=other_end, env={**os.environ, **env})
    os.close(other_end)
    written = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal so
        while part := os.read(main_end, 65536):
            written += part
    os.close(main_end)
    started.wait()
    return written.decode()


@pytest.mark.waits
def test_a_terminal_shows_what_weighs_in_colour(tmp_path: Path) -> None:
    made = Coco()
    made.train["annotations"][0]["bbox"] = [0, 0, 0, 5]
    path = str(write_zip(tmp_path / "s.zip", made.all_files()))
    seen = on_terminal("check", path, NO_COLOR="")
    assert "\x1b[33m\x1b[1mwarning\x1b[0m" in seen
    assert re.search("\x1b\\[1m +Fix:\x1b", seen)
    plain = on_terminal("check", path, NO_COLOR="1")
    assert "\x1b" not in plain
    assert "\x1b" not in on_terminal("check", path, "--json", NO_COLOR="")
    argv = [sys.executable, "-m", "jobgen", "check", path]
    assert b"\x1b" not in subprocess.run(argv, capture_output=True, check=False).stdout


def commands_below(group: click.Group, ctx: click.Context) -> Iterator[click.Command]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from commands_below(command, ctx)


def test_help_is_whole_sentences() -> None:
    """No line of a command or an option ends in the middle, and every option has one."""
    ctx = click.Context(main, info_name="jobgen")
    for command in (main, *commands_below(main, ctx)):
        below_usage = command.get_help(ctx).partition("\n")[2]
        assert not re.search(r"\.\.\.$", below_usage, re.MULTILINE), command.name
        for option in command.params:
            if isinstance(option, click.Option):
                said = str(option.help).partition("  [")[0]
                assert said[0].isupper(), (command.name, said)
                assert said[-1] == ".", (command.name, said)


@pytest.mark.waits
def test_the_shell_completes_commands_and_options() -> None:
    for typed, expected in (("jobgen bui", "build"), ("jobgen check --arc", "--archive")):
        env = {**os.environ, "_JOBGEN_COMPLETE": "bash_complete", "COMP_WORDS": typed,
               "COMP_CWORD": str(typed.count(" "))}  # fmt: skip
        argv = [sys.executable, "-c", "from jobgen.cli import entry; entry()"]
        said = subprocess.run(argv, env=env, capture_output=True, text=True, check=False).stdout
        assert said.splitlines() == [f"plain,{expected}"]
