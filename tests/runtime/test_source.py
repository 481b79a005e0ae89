import os
import subprocess
from pathlib import Path
from typing import Any, Dict

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.setup.source import (
    PARTS_RUN,
    apply_fixes,
    changed_files,
    clone,
    code_hash,
    verify_source,
)
from tests.runtime.conftest import events, git_repository

pytestmark = pytest.mark.waits

FILES = {"ppdet/a.py": "x = 1\n", "ppdet/b/c.py": "y = 2\n", "tools/train.py": "print(1)\n"}
FIX = {"id": "f", "file": "ppdet/a.py", "old": "x = 1", "new": "x = max(1, 1)", "why": "because"}


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    git_repository(tmp_path / "upstream", FILES)
    return tmp_path / "upstream"


def commit_of(folder: Path) -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=str(folder), check=True, stdout=subprocess.PIPE
    )
    return answer.stdout.decode().strip()


def take(tmp_path: Path, urls: list, revision: str = "v1") -> Path:
    folder = tmp_path / "PaddleDetection"
    clone(urls, revision, str(folder), timeout=60, pause=0)
    return folder


def test_a_tag_is_cloned_shallowly_and_kept(tmp_path: Path, upstream: Path, run: Outcome) -> None:
    url = "file://%s" % upstream
    folder = take(tmp_path, [url])
    assert (folder / "tools" / "train.py").is_file()
    assert (folder / ".git" / "shallow").is_file()
    take(tmp_path, ["file:///nowhere"])
    assert events(run, "clone")[-1]["kept"] is True


def test_a_commit_is_fetched(tmp_path: Path, upstream: Path, run: Outcome) -> None:
    commit = commit_of(upstream)
    folder = take(tmp_path, ["file://%s" % upstream], commit)
    assert commit_of(folder) == commit


def test_the_next_address_is_tried(tmp_path: Path, upstream: Path, run: Outcome) -> None:
    take(tmp_path, ["file:///nowhere", "git://no.such.scheme/x", "file://%s" % upstream])
    faults = [e["fault"] for e in events(run, "clone")]
    assert "does not appear to be a git repository" in faults[0] or "fatal" in faults[0]
    assert faults[2] == "only https://, ssh:// and file:// addresses are used"
    assert faults[-1] is None
    assert len(faults) == 5


def test_no_address_answers(tmp_path: Path, run: Outcome) -> None:
    with pytest.raises(StageError) as caught:
        take(tmp_path, ["file:///nowhere"])
    assert caught.value.cause == "network"
    assert "could not be cloned from any of 1 addresses" in caught.value.message
    assert not (tmp_path / "PaddleDetection").exists()
    assert not (tmp_path / "PaddleDetection.cloning").exists()


def test_a_half_clone_of_an_earlier_run_is_no_hindrance(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    half = tmp_path / "PaddleDetection.cloning"
    half.mkdir()
    (half / "rubbish").write_text("x")
    assert (take(tmp_path, ["file://%s" % upstream]) / "ppdet").is_dir()
    assert not half.exists()


def test_a_foreign_folder_is_not_touched(tmp_path: Path, upstream: Path, run: Outcome) -> None:
    (tmp_path / "PaddleDetection").mkdir()
    (tmp_path / "PaddleDetection" / "mine.txt").write_text("keep")
    with pytest.raises(StageError, match="is there already and is no git clone"):
        take(tmp_path, ["file://%s" % upstream])
    assert (tmp_path / "PaddleDetection" / "mine.txt").read_text() == "keep"


def test_without_git(
    tmp_path: Path, upstream: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(StageError, match="git is not installed"):
        take(tmp_path, ["file://%s" % upstream])


def known(folder: Path, **changes: Any) -> Dict[str, Any]:
    """What the catalogue would know of this clone as it stands."""
    found: Dict[str, Any] = {part: [code_hash(str(folder), part)] for part in PARTS_RUN}
    found["commit"] = commit_of(folder)
    found.update(changes)
    return found


def test_verified_by_commit_by_content_or_not_at_all(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    verify_source(str(folder), "v1", known(folder, ppdet=["0"]))
    assert run.data["source"]["verified"] == "commit"
    assert run.data["source"]["url"] == "file://%s" % upstream
    assert run.data["source"]["subject"] == "one"
    verify_source(str(folder), "v1", known(folder, commit="0"))
    assert run.data["source"]["verified"] == "content"
    with pytest.raises(StageError, match="is not PaddleDetection v1"):
        verify_source(str(folder), "v1", known(folder, commit="0", ppdet=["0"]))
    verify_source(str(folder), "v1", known(folder, commit="0", ppdet=["0"]), allow_unpinned=True)
    assert run.data["source"]["verified"] == "no"


def test_a_fix_is_applied_once_and_does_not_spoil_the_verification(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    hashes = known(folder, commit="0")
    states = []
    for _ in range(2):
        verify_source(str(folder), "v1", hashes, [FIX])
        apply_fixes(str(folder), [FIX])
        states.append(run.data["source"]["fixes"][0]["state"])
    assert states == ["applied", "there already"]
    assert (folder / "ppdet" / "a.py").read_text() == "x = max(1, 1)\n"
    assert run.data["source"]["changed"] == []


def test_a_fix_that_finds_no_text_is_not_applicable(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    verify_source(str(folder), "v1", known(folder))
    for fix in (dict(FIX, old="nothing like it"), dict(FIX, file="ppdet/none.py")):
        apply_fixes(str(folder), [fix])
        assert run.data["source"]["fixes"][0]["state"] == "not applicable"
    assert any("is not applicable" in n["text"] for n in run.data["notes"])


def test_edits_by_hand_are_told(tmp_path: Path, upstream: Path, run: Outcome) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    (folder / "tools" / "train.py").write_text("print(2)\n")
    verify_source(str(folder), "v1", known(folder))
    assert run.data["source"]["changed"] == ["tools/train.py"]


def test_the_hash_leaves_out_what_a_package_lacks(tmp_path: Path, upstream: Path) -> None:
    before = code_hash(str(upstream))
    for name in ("ppdet/version.py", "ppdet/ext_op/setup.py", "ppdet/model/ext_op/x.py"):
        path = upstream / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("z = 1\n")
    assert code_hash(str(upstream)) == before
    (upstream / "ppdet" / "a.py").write_text("x = 3\n")
    assert code_hash(str(upstream)) != before
    assert os.sep == "/"


def test_passwords_of_an_address_are_written_nowhere(
    tmp_path: Path, run: Outcome, capsys: pytest.CaptureFixture
) -> None:
    url = "https://me:T0KEN@127.0.0.1:9/x.git"
    with pytest.raises(StageError) as caught:
        take(tmp_path, [url])
    assert "T0KEN" not in str(caught.value)
    run.fail(caught.value)
    written = "".join(
        p.read_text(encoding="utf-8") for p in Path(run.folder).rglob("*") if p.is_file()
    )
    assert "127.0.0.1:9/x.git" in written
    assert "T0KEN" not in written
    assert "T0KEN" not in capsys.readouterr().out


def test_the_record_names_the_mirror_that_was_used(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    config = '[url "file://%s"]\n\tinsteadOf = https://host/x.git\n' % upstream
    Path(os.path.expanduser("~/.gitconfig")).write_text(config)
    folder = take(tmp_path, ["https://host/x.git"])
    verify_source(str(folder), "v1", known(folder))
    assert run.data["source"]["url"] == "file://%s" % upstream


@pytest.mark.parametrize(
    "path", ["tools/train.py", "tools/new.py", "ppdet/x.so", "configs/runtime.yml",
             "configs/picodet/_base_/reader.yml"],
)  # fmt: skip
def test_another_content_of_what_runs_is_refused(
    tmp_path: Path, upstream: Path, run: Outcome, path: str
) -> None:
    """A mirror with the right ppdet/ is not yet PaddleDetection: tools and configs run too."""
    folder = take(tmp_path, ["file://%s" % upstream])
    hashes = known(folder, commit="0")
    verify_source(str(folder), "v1", hashes)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("evil = 1\n")
    with pytest.raises(StageError, match="its %s/ differs" % path.partition("/")[0]):
        verify_source(str(folder), "v1", hashes)


def test_what_git_is_told_to_overlook_is_found(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    for flag, name in (("--skip-worktree", "tools/train.py"), ("--assume-unchanged", "ppdet/a.py")):
        subprocess.run(["git", "update-index", flag, name], cwd=str(folder), check=True)
        (folder / name).write_text("evil = 1\n")
    (folder / "ppdet" / "new.py").write_text("evil = 1\n")
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "configs" / "mine.yml").write_text("a: 1\n")
    assert changed_files(str(folder)) == ["ppdet/a.py", "ppdet/new.py", "tools/train.py"]
    verify_source(str(folder), "v1", known(folder))
    said = "files of the clone were changed by hand: ppdet/a.py, ppdet/new.py, tools/train.py"
    assert run.data["notes"][-1]["text"] == said


def test_a_clones_own_settings_start_nothing(tmp_path: Path, upstream: Path, run: Outcome) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    hook = tmp_path / "hook.sh"
    hook.write_text("#!/bin/sh\ntouch %s\n" % (tmp_path / "ran"))
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "gpg.program", "core.pager", "diff.external", "filter.x.clean"):
        subprocess.run(["git", "config", key, str(hook)], cwd=str(folder), check=True)
    for name in ("post-index-change", "post-checkout", "pre-commit"):
        (folder / ".git" / "hooks").mkdir(exist_ok=True)
        (folder / ".git" / "hooks" / name).write_text(hook.read_text())
        (folder / ".git" / "hooks" / name).chmod(0o755)
    subprocess.run(["git", "config", "log.showSignature", "true"], cwd=str(folder), check=True)
    (folder / ".gitattributes").write_text("* filter=x\n")
    (folder / "tools" / "train.py").write_text("print(3)\n")
    verify_source(str(folder), "v1", known(folder))
    apply_fixes(str(folder), [FIX])
    assert not (tmp_path / "ran").exists()


def test_compiled_files_that_came_with_a_clone_are_gone(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    """Python runs a compiled file that says it need not be compared, whatever the source says."""
    cache = upstream / "ppdet" / "__pycache__"
    cache.mkdir()
    (cache / "a.cpython-310.pyc").write_bytes(b"evil")
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for argv in (["add", "-A", "-f"], [*who, "commit", "-qm", "two"], ["tag", "-f", "v1"]):
        subprocess.run(["git", *argv], cwd=str(upstream), check=True)
    folder = take(tmp_path, ["file://%s" % upstream])
    assert not (folder / "ppdet" / "__pycache__").exists()


def test_a_text_that_is_there_twice_is_not_fixed(
    tmp_path: Path, upstream: Path, run: Outcome
) -> None:
    folder = take(tmp_path, ["file://%s" % upstream])
    (folder / "ppdet" / "a.py").write_text("x = 1\nx = 1\n")
    verify_source(str(folder), "v1", known(folder))
    apply_fixes(str(folder), [FIX])
    assert run.data["source"]["fixes"][0]["state"] == "not applicable"
    assert (folder / "ppdet" / "a.py").read_text() == "x = 1\nx = 1\n"


@pytest.mark.parametrize(
    "url", ["ssh://-oProxyCommand=x/y", "https://-x/y", "file://-x", "ext::sh"]
)
def test_an_address_that_is_an_option_is_not_given_to_git(
    tmp_path: Path, run: Outcome, url: str
) -> None:
    with pytest.raises(StageError, match="only https://, ssh:// and file:// addresses are used"):
        take(tmp_path, [url])
