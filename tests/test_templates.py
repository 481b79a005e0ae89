"""Every way to change a pack, from a value to a pack of one's own: just that place changes, and a
run shows that it took effect."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobgen.authoring import Change, bundle_diff, changes, combinations, eject, trials
from jobgen.catalog import models
from jobgen.catalog.augment import every_choice, reader_values, turns_of
from jobgen.errors import SpecError, TemplateError
from jobgen.job.build import render
from jobgen.job.bundle import Bundle
from jobgen.job.plan import make_plan
from jobgen.packs.disk import Parameter, find_pack
from jobgen.packs.render import inside, load_job_pack, load_pack, stale_files
from jobgen.resources import templates_dir
from jobgen.spec import load_spec
from jobgen_runtime.train.configure import merge_dicts
from tests.conftest import JOB, Answer
from tests.served import served
from tests.sets import Coco, write_zip
from tests.whole import JOB as WHOLE_JOB
from tests.whole import make_whole

TRAIN = "notebook/70_train.py.j2"
BLOCK = '{% extends "base/notebook/70_train.py.j2" %}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB, encoding="utf-8")
    return tmp_path


def built(folder: Path) -> Bundle:
    spec, document = load_spec(folder / "job.yaml")
    pack = load_job_pack(spec.template, folder)
    return render(make_plan(spec, document, pack), pack)


def changed(folder: Path, more: str = "", **files: str) -> tuple[list[str], list[str]]:
    """The parts of the bundle (cells, files) that differ, and the lines that were added, after
    job.yaml got `more` and the job templates of its own."""
    before = built(folder)
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8") + more, encoding="utf-8")
    for name, text in files.items():
        path = folder / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    after = built(folder)
    places, parts = [], (parts_of(before), parts_of(after))
    for name in sorted(set(parts[0]) | set(parts[1])):
        if parts[0].get(name) != parts[1].get(name):
            places.append(name)
    added = [
        line[1:]
        for line in bundle_diff(before, after).splitlines()
        if line.startswith("+") and not line.startswith("+++")
    ]
    return places, added


def parts_of(bundle: Bundle) -> dict[str, str]:
    found = {name: data.decode() for name, data in bundle.files.items() if name != "main.ipynb"}
    for cell in bundle.notebook["cells"]:
        found[cell["id"]] = "".join(cell["source"])
    return found


# Where a change of the model YAML shows besides: its hash, and the job itself.
HASH = ["job"]
MODEL = "picodet_xs_320_ships_lcnet.yml"


def test_a_value(folder: Path) -> None:
    places, added = changed(folder, "overrides: {PicoHeadV2: {nms: {keep_top_k: 50}}}\n")
    assert places == [*HASH, MODEL]
    assert any("keep_top_k: 50" in line for line in added)


def test_a_block_of_a_stage_at_any_indentation(folder: Path) -> None:
    text = BLOCK + "{% block before %}\nnote(\"first\")\nif SMOKE:\n    note('s')\n{% endblock %}\n"
    places, added = changed(folder, **{TRAIN: text})
    assert places == ["train"]
    assert added == ['    note("first")', "    if SMOKE:", "        note('s')"]
    (folder / "templates" / TRAIN).write_text(
        BLOCK + "{% block after %}\n        note('last')\n{% endblock %}\n", encoding="utf-8"
    )
    lines = parts_of(built(folder))["train"].splitlines()
    assert lines[-1] == "    note('last')"
    assert lines[0].startswith("from jobgen_runtime.stages.train import")


def test_a_whole_file(folder: Path) -> None:
    title = "notebook/00_title.md.j2"
    places, added = changed(folder, **{title: "# {{ name }}, {{ classes | length }} classes\n"})
    assert (places, added) == (["title-text"], ["# ships, 1 classes"])


def test_an_extra_stage_stands_where_its_number_says(folder: Path) -> None:
    extra = 'with stage("count"):\n    summary(str(run.place["train_images"]))\n'
    places, added = changed(folder, **{"notebook/25_count.py.j2": extra})
    assert places == ["count"]
    assert "\n".join(extra.splitlines()) in "\n".join(added)
    assert [line for line in added if line and line not in extra] == ["== cell count"]
    order = [cell["id"] for cell in built(folder).notebook["cells"]]
    assert order.index("data") < order.index("count") < order.index("source")


def test_a_parameter_of_the_pack(folder: Path) -> None:
    changed(folder, "template: sar\n")
    places, added = changed(folder, "parameters: {few_boxes: 7}\n")
    assert places == ["histogram", "job"]
    assert "    histogram(run.place, run.classes, 7)" in added
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8").replace("few_boxes: 7", "histogram: false"))
    assert not [name for name in parts_of(built(folder)) if name.startswith("histogram")]


def test_a_pack_that_extends_another(folder: Path) -> None:
    places, added = changed(folder, "template: sar\n")
    assert set(places) == {
        *(MODEL, "begin", "job", "title-text", "histogram", "histogram-text", "tools"),
        *(f"{name}-text" for name in ("train", "collect")),  # numbered anew
    }
    assert 'at_end(notify, "JOBGEN_WEBHOOK")' in added
    model = yaml.safe_load(parts_of(built(folder))[MODEL])
    distort = model["TrainReader"]["sample_transforms"][-1]["RandomDistort"]
    assert (distort["hue"][2], distort["saturation"][2]) == (1.0, 1.0)
    assert "contrast" not in distort


def test_a_pack_from_a_folder_elsewhere_and_a_job_over_it(folder: Path) -> None:
    mine = folder / "elsewhere" / "mine"
    (mine / "notebook").mkdir(parents=True)
    (mine / "template.yaml").write_text("name: mine\nversion: 3\nextends: sar\n")
    (mine / TRAIN).write_text(BLOCK + "{% block before %}note('mine'){% endblock %}\n")
    changed(folder, "template: elsewhere/mine\n")
    text = BLOCK + "{% block before %}{{ super() }}\nnote('job'){% endblock %}\n"
    places, added = changed(folder, **{TRAIN: text})
    assert (places, added) == (["train"], ["    note('job')"])
    pack = load_job_pack("elsewhere/mine", folder)
    assert [layer.name for layer in pack.layers] == ["paddledetection", "sar", "mine", "templates"]
    assert (pack.name, pack.version) == ("mine", 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("{few_boxes: many}", "parameters.few_boxes: 'many' is no integer"),
        ("{few_boxes: -1}", "parameters.few_boxes: -1 is less than 0"),
        ("{few_boxes: true}", "parameters.few_boxes: True is no integer"),
        ("{webhook: 'https://x/?key=1'}", "is not like [A-Z][A-Z0-9_]{0,63}"),
        ("{speed: 1}", "parameters.speed: the pack sar has no such parameter; it has histogram"),
    ],
)
def test_parameters_that_can_not_be_taken(folder: Path, parameters: str, message: str) -> None:
    text = f"{JOB}template: sar\nparameters: {parameters}\n"
    (folder / "job.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        built(folder)
    assert message in caught.value.message
    assert f"job.yaml:{len(text.splitlines())}: " in caught.value.message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            BLOCK + "{% block after %}\n{{ no_such }}\n{% endblock %}\n",
            "templates/notebook/70_train.py.j2:3: 'no_such' is undefined\n    {{ no_such }}",
            "A template here may use: amp, bases,",
        ),
        ("{{ plan.epochz }}\n", "'dict object' has no attribute 'epochz'", "may use: "),
        ("\n{% if %}\n", "templates/notebook/70_train.py.j2:2: Expected an expression", None),
        ("{{ 1 / 0 }}\n", "70_train.py.j2:1: division by zero\n    {{ 1 / 0 }}", "may use: "),
        (
            "{{ ''.__class__.__mro__ }}\n",
            "access to attribute '__class__' of 'str' object is unsafe",
            "use",
        ),
        ('{% extends "base/no.py.j2" %}', "there is no template", None),
        ("x = = 1\n", "paddledetection: the cell train would be broken in line 1", None),
        (
            "def stage(name): pass\n",
            "the cell train sets stage, which the cell begin defines",
            "name",
        ),
    ],
)
def test_a_fault_names_its_place_and_what_there_is(
    folder: Path, text: str, message: str, hint: str | None
) -> None:
    path = folder / "templates" / TRAIN
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError) as caught:
        built(folder)
    assert message in caught.value.message
    assert caught.value.exit_code == 5
    if hint:
        assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nversion: 1\nspeed: 3\n", "unknown key speed"),
        ("name: x\n", "KeyError: 'version'"),
        ("name: x\nversion: 1\nextends: nowhere\n", "there is no template pack nowhere"),
        ("name: x\nversion: 1\nparameters: {a: {default: 1, type: date}}\n", "is 'date', not text"),
        (
            "name: x\nversion: 1\nparameters: {a: {default: 9, type: integer, most: 3}}\n",
            "more than 3",
        ),
        ("name: [\n", "template.yaml"),
        ("name: 3\nversion: 1\n", "name is 3, not text"),
        ("name: x\nversion: one\n", "version is 'one', not a whole number"),
        ("name: x\nversion: 1\nextends: [a]\n", "not text"),
        ("name: x\nversion: 1\naugment: {spin: 1}\n", "augment.spin: Extra inputs"),
        ("name: x\nversion: 1\naugment: 3\n", "augment: Input should be"),
        (
            "name: x\nversion: 1\nparameters: {a: {default: b, pattern: '('}}\n",
            "parameters.a.pattern",
        ),
        ("name: x\nversion: 1\nstages: [train]\n", "can't be read"),
        ("name: x\nversion: 1\nparameters: {a: 3}\n", "can't be read"),
    ],
)
def test_a_pack_that_can_not_be_meant(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "template.yaml").write_text(text)
    with pytest.raises(TemplateError, match=message.replace("[", r"\[")):
        load_pack(tmp_path)


def test_packs_that_extend_one_another_in_a_ring(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        text = f"name: {name}\nversion: 1\nextends: ../{other}\n"
        (tmp_path / name / "template.yaml").write_text(text)
    with pytest.raises(TemplateError, match="the pack extends itself"):
        load_pack(tmp_path / "a")


def test_a_pack_brings_modules_of_its_own(tmp_path: Path, folder: Path) -> None:
    """Under any name, one of jobgen's too: they are imported from jobgen_runtime.pack."""
    pack = tmp_path / "p"
    (pack / "runtime").mkdir(parents=True)
    (pack / "notebook").mkdir()
    (pack / "template.yaml").write_text("name: p\nversion: 1\nextends: paddledetection\n")
    (pack / "runtime" / "coco.py").write_text("def stage(name):\n    pass\n")
    cell = "from jobgen_runtime.pack.coco import stage as mine\n\nmine('x')\n"
    (pack / "notebook" / "26_look.py.j2").write_text(cell)
    places, _ = changed(folder, "template: p\n")
    assert set(places) == {"job", "look", "tools"}
    tools = parts_of(built(folder))["tools"]
    assert "FILES['pack/coco.py'] = r'''def stage(name):" in tools


def test_ejected_edited_and_the_pack_moved_on(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides of the change are shown, and check warns; the ejected file renders the same."""
    project = folder / "project"
    shutil.copytree(templates_dir(), project / "templates")
    monkeypatch.chdir(project)
    named = "project/templates/paddledetection"
    assert find_pack(named, folder) == project / "templates" / "paddledetection"
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8") + f"template: {named}\n", encoding="utf-8")
    before = built(folder)
    answer = jobgen("templates", "eject", TRAIN, "--job", folder / "job.yaml")
    assert answer.code == 0
    place = folder / "templates" / TRAIN
    assert answer.out == f"{place}\n"
    assert place.read_text("utf-8").startswith("{# From the pack paddledetection 1: ")
    assert built(folder).files == before.files
    place.write_text(
        place.read_text("utf-8").replace("train_model(run)", "train_model(run)  # mine"),
        encoding="utf-8",
    )
    theirs = project / "templates" / "paddledetection" / TRAIN
    theirs.write_text(theirs.read_text("utf-8") + "# cured\n", encoding="utf-8")
    (change,) = changes(load_job_pack(named, folder))
    assert isinstance(change, Change)
    assert "+train_model(run)  # mine" in change.ours
    assert "+# cured" in change.theirs
    said = jobgen("templates", "diff", folder / "job.yaml").out
    assert "changed in the pack since it was ejected:" in said
    assert "+    train_model(run)  # mine" in said
    answer = jobgen("check", folder / "job.yaml", "--json")
    assert [f["code"] for f in answer.json["findings"]] == ["PL007"]
    assert answer.code == 0
    again = jobgen("templates", "eject", TRAIN, "--job", folder / "job.yaml")
    assert (again.code, "is there already" in again.err) == (5, True)
    near = jobgen("templates", "eject", "notebook/70_trian.py.j2", "--job", folder / "job.yaml")
    assert "Did you mean notebook/70_train.py.j2?" in near.err


def test_a_whole_pack_is_ejected_and_used(folder: Path, jobgen: Callable[..., Answer]) -> None:
    before = built(folder)
    assert jobgen("templates", "eject", "paddledetection", "-o", folder / "own").code == 0
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8") + "template: own\n", encoding="utf-8")
    parts = (parts_of(before), parts_of(built(folder)))
    assert [name for name in parts[0] if parts[0][name] != parts[1][name]] == ["job"]
    assert jobgen("templates", "eject", "sar", "-o", folder / "own").code == 5
    assert jobgen("templates", "eject", "sar").code == 2


def test_packs_are_listed_with_what_hides_them(
    tmp_path: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(templates_dir() / "sar", tmp_path / "templates" / "sar")
    monkeypatch.chdir(tmp_path)
    rows = jobgen("templates", "list", "--json").json["packs"]
    found = [(row["name"], row["kind"], row["shadowed_by"]) for row in rows]
    assert ("sar", "built-in", None) in found
    assert ("sar", "project", "built-in") in found
    assert "used by its path: " in jobgen("templates", "list").out
    shown = jobgen("templates", "show", "sar", "--json").json
    assert shown["layers"] == ["paddledetection", "sar"]
    assert shown["files"]["notebook/65_histogram.py.j2"] == "sar"
    assert [row["name"] for row in shown["parameters"]] == ["histogram", "few_boxes", "webhook"]
    assert (
        "layers, the lowest first: paddledetection, sar" in jobgen("templates", "show", "sar").out
    )


@pytest.mark.waits
def test_a_new_pack_holds_from_its_first_minute(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert jobgen("templates", "new", "ships", "--extends", "sar").code == 0
    assert jobgen("templates", "test", "ships").code == 0
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8") + "template: ships\n", encoding="utf-8")
    assert "stage:look" in json.dumps(built(folder).notebook)
    assert jobgen("templates", "new", "ships").code == 5
    assert jobgen("templates", "new", "My Pack").code == 2


@pytest.mark.parametrize("name", sorted(p.name for p in templates_dir().iterdir() if p.is_dir()))
@pytest.mark.waits
def test_every_pack_renders_at_all_its_corners(name: str) -> None:
    found = list(trials(load_pack(templates_dir() / name)))
    assert [trial for trial in found if trial.fault] == []
    assert {trial.what[:2] for trial in found} == {"zh", "en"}


@pytest.mark.waits
def test_a_pack_that_breaks_at_a_corner_is_told(
    tmp_path: Path, jobgen: Callable[..., Answer]
) -> None:
    (tmp_path / "notebook").mkdir()
    (tmp_path / "template.yaml").write_text(
        "name: p\nversion: 1\nextends: paddledetection\n"
        "parameters: {word: {default: a}, many: {type: integer, default: 2, least: 0}}\n"
    )
    cell = tmp_path / "notebook" / "26_word.py.j2"
    cell.write_text("x = '{{ parameters.word }}'\ny = {{ 1 // parameters.many }}\n")
    answer = jobgen("templates", "test", tmp_path, "--json")
    assert answer.code == 1
    said = "\n".join(row["fault"] for row in answer.json["faults"])
    assert "the cell word would be broken in line 1" in said
    assert "26_word.py.j2:2: integer division or modulo by zero" in said
    cell.write_text("x = {{ parameters.word | py }}\n")
    assert jobgen("templates", "test", tmp_path).code == 0


def test_too_many_corners_are_tried_one_by_one(tmp_path: Path) -> None:
    rows = ", ".join(f"p{n}: {{type: boolean, default: false}}" for n in range(12))
    text = f"name: p\nversion: 1\nextends: paddledetection\nparameters: {{{rows}}}\n"
    (tmp_path / "template.yaml").write_text(text)
    found = combinations(load_pack(tmp_path))
    assert len(found) == 24
    assert {name for row in found for name, value in row.items() if value} == set(found[0])


def test_the_corners_of_a_parameter() -> None:
    number = Parameter("n", "integer", 3, least=0, most=9)
    assert number.corners() == [3, 0, 9]
    assert Parameter("b", "boolean", True).corners() == [False, True]
    assert Parameter("c", "text", "a", choices=("a", "b")).corners() == ["a", "b"]
    assert "中文" in Parameter("t", "text", "a").corners()[1]
    assert Parameter("t", "text", "A", pattern="[A-Z]").corners() == ["A"]
    assert Parameter("x", "number", 0.5).fault(1) is None


def test_the_same_words_in_both_languages() -> None:
    def keys(words: dict[str, Any], path: str = "") -> set[str]:
        return {
            name
            for key, value in words.items()
            for name in (keys(value, f"{path}{key}.") if isinstance(value, dict) else {path + key})
        }

    for folder in templates_dir().iterdir():
        words = load_pack(folder).layers[-1].words
        assert keys(words["zh"]) == keys(words["en"]), folder.name


def test_lines_of_a_block_are_put_in_their_step() -> None:
    assert inside("") == inside("  \n") == ""
    assert inside("a\n  b\n") == "    a\n      b\n"
    assert inside("\n        a\n", 2) == "        a\n"


def test_strings_of_several_lines_stay_as_they_are() -> None:
    text = 'x = """a\n  b\n"""\nif x:\n    y = 1\n\nz = 2\n'
    expected = '    x = """a\n  b\n"""\n    if x:\n        y = 1\n\n    z = 2\n'
    assert inside(text) == expected
    indented = "        x = (\n            '''a\n b''')\n"
    assert inside(indented) == "    x = (\n        '''a\n b''')\n"
    # What is no Python is told of by the cell, with its line.
    assert inside("x = '''a\n") == "    x = '''a\n"


def test_an_ejected_yaml_renders_the_same(folder: Path) -> None:
    before = built(folder)
    eject(load_job_pack("paddledetection", folder), "config/model.yml.j2", folder / "templates")
    assert built(folder).files == before.files


def test_two_cells_of_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(TemplateError, match="two cells are named train"):
        changed(folder, **{"notebook/26_train.py.j2": "x = 1\n"})


def test_a_jobs_own_files_count_beside_packs_in_one_folder(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    places, _ = changed(folder, **{"notebook/00_title.md.j2": "# mine\n"})
    assert places == ["title-text"]
    assert jobgen("templates", "new", "quick").code == 0
    assert parts_of(built(folder))["title-text"] == "# mine"
    assert "look" not in parts_of(built(folder))


def test_words_alone_are_a_change_too(folder: Path) -> None:
    places, added = changed(folder, **{"words/zh.yml": "title: 我的任务\n"})
    assert (places, added) == (["title-text"], ["# 我的任务: ships"])


@pytest.mark.parametrize(
    "name", ["notebook/65_Sizes.py.j2", "notebook/5_x.py.j2", "notebook/65-x.py.j2", "65_x.py.j2"]
)
def test_a_file_that_would_never_be_read_is_told(folder: Path, name: str) -> None:
    with pytest.raises(TemplateError, match="is never read"):
        changed(folder, **{"notebook/00_title.md.j2": "# x\n", name: "x = 1\n"})


def test_a_body_may_be_kept_and_added_to(folder: Path) -> None:
    text = BLOCK + "{% block body %}\nnote('x')\n{{ super() }}\n{% endblock %}\n"
    places, added = changed(folder, **{TRAIN: text})
    assert (places, added) == (["train"], ["    note('x')"])
    text = BLOCK + "{% block body %}\nif EPOCHS:\n    {{ super() | indent(4) }}\n{% endblock %}\n"
    (folder / "templates" / TRAIN).write_text(text, encoding="utf-8")
    assert "        train_model(run)" in parts_of(built(folder))["train"]


def test_an_ejected_override_does_not_count_twice(folder: Path) -> None:
    mine = folder / "mine"
    (mine / "notebook").mkdir(parents=True)
    (mine / "template.yaml").write_text("name: mine\nversion: 1\nextends: paddledetection\n")
    block = "{% block before %}{{ super() }}note('P'){% endblock %}"
    (mine / TRAIN).write_text(BLOCK + block)
    changed(folder, "template: mine\n")
    before = built(folder)
    eject(load_job_pack("mine", folder), TRAIN, folder / "templates")
    assert built(folder).files == before.files
    assert parts_of(before)["train"].count("note('P')") == 1


def test_a_whole_pack_that_was_ejected_is_not_stale(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    assert jobgen("templates", "eject", "sar", "-o", folder / "own").code == 0
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8") + "template: own\n", encoding="utf-8")
    assert stale_files(load_job_pack("own", folder)) == []
    assert jobgen("check", job).out.startswith("nothing found, ")


@pytest.mark.parametrize(
    ("yaml_text", "files", "message"),
    [
        ("stages: {look: {scripts: ['/etc/hostname']}}", {}, "scripts is no key of a stage"),
        ("runtime: [mine]", {}, "unknown key runtime"),
        ("", {"runtime/mine.py": "def f(x:\n"}, "runtime/mine.py would be broken"),
        ("", {"runtime/mine.py": "def f(x, /): pass\n"}, "runtime/mine.py would be broken"),
        (
            "",
            {
                "runtime/mine.py": 'X = """\'\'\'"""\n',
                "notebook/26_x.py.j2": "from jobgen_runtime.pack.mine import X\n",
            },
            "pack/mine.py holds '''",
        ),
        ("stages: {foo: {optional: true}}", {}, "but no notebook/NN_foo.py.j2"),
        ("parameters: {a: {type: text}}", {}, "parameters.a: its default is missing"),
        ("", {"words/zh.yml": "tools: null\n"}, "the word `tools` is None, not a line of text"),
        ("", {"words/zh.yml": "- a\n"}, "words are keys and values"),
        ("", {"notebook/00_aaa.py.j2": "x = 1\n"}, "the cell aaa stands before the parameters"),
        ("", {"notebook/00_title.md.j2": '{% extends "notebook/00_title.md.j2" %}'}, "recursion"),
        ("", {"notebook/26_x.py.j2": "for note in [1]:\n    pass\n"}, "sets note, which"),
        ("", {"notebook/26_x.py.j2": "from math import pow as run\n"}, "sets run, which"),
        ("", {"notebook/26_x.py.j2": "{{ 5 | inside }}\n"}, "26_x.py.j2:1: "),
    ],
)
def test_what_an_author_gets_wrong_is_said(
    folder: Path, yaml_text: str, files: dict[str, str], message: str
) -> None:
    pack = folder / "p"
    pack.mkdir()
    head = "name: p\nversion: 1\nextends: paddledetection\n"
    (pack / "template.yaml").write_text(head + yaml_text + "\n")
    for name, text in files.items():
        (pack / name).parent.mkdir(exist_ok=True)
        (pack / name).write_text(text)
    with pytest.raises(TemplateError) as caught:
        changed(folder, "template: p\n")
    assert message in caught.value.message


@pytest.mark.waits
def test_a_pack_may_extend_the_one_whose_name_it_has(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    answer = jobgen("templates", "new", "sar", "--extends", "sar")
    assert (answer.code, "would shadow the one it extends" in answer.err) == (5, True)
    own = folder / "templates" / "sar"
    own.mkdir(parents=True)
    (own / "template.yaml").write_text("name: sar\nversion: 2\nextends: sar\n")
    pack = load_pack(find_pack("templates/sar"))
    assert [(layer.name, layer.version) for layer in pack.layers][1:] == [("sar", 1), ("sar", 2)]
    far = jobgen("templates", "new", "far", "--extends", "templates/sar", "--folder", "packs/far")
    assert far.code == 0
    assert f"template: {folder / 'packs' / 'far'}" in far.err
    assert jobgen("templates", "test", "packs/far").code == 0


def test_a_template_from_windows_is_read(folder: Path) -> None:
    text = BLOCK + "{% block before %}\nnote('w')\n{% endblock %}\n"
    path = folder / "templates" / TRAIN
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    lines = parts_of(built(folder))["train"].splitlines()
    assert "    note('w')" in lines


# Augmentation as data.

PICODET = models()["picodet_xs_320_coco_lcnet"]


def chosen(given: dict[str, Any], preset: str = "default", size: int = 320) -> Any:
    """What a choice sets of the config of a model at some size, and its keys that name an epoch."""
    config, family = merge_dicts(PICODET.config(), PICODET.at_size(size)), PICODET.family
    choice = every_choice(given, preset, config, family)
    return reader_values(choice, config, family)["TrainReader"], turns_of(choice, PICODET.turns())


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({}, ["Decode", "RandomCrop", "RandomFlip", "RandomDistort"]),
        ({"flip": 0.0, "crop": False}, ["Decode", "RandomDistort"]),
        (
            {"distort": "none", "expand": True},
            ["Decode", "RandomExpand", "RandomCrop", "RandomFlip"],
        ),
        ({"mosaic": True}, ["Decode", "Mosaic", "RandomCrop", "RandomFlip", "RandomDistort"]),
        ({"mixup": True}, ["Decode", "Mixup", "RandomCrop", "RandomFlip", "RandomDistort"]),
    ],
)
def test_choices_become_the_readers_list(choice: dict[str, Any], names: list[str]) -> None:
    found, turns = chosen(choice)
    assert [next(iter(row)) for row in found["sample_transforms"]] == names
    mixed = [turn.part for name, turn in turns.items() if name in ("mosaic_epoch", "mixup_epoch")]
    assert mixed == ([(3, 5)] if {"mosaic", "mixup"} & set(choice) else [])
    assert "batch_transforms" not in found


def test_presets_and_what_is_given_over_them() -> None:
    config, family = PICODET.config(), PICODET.family
    found = every_choice({"flip": None, "crop": False}, "sar", config, family)
    assert (found["flip"], found["crop"], found["distort"]) == (0.5, False, "light")
    both, turns = chosen({"mosaic": True, "mixup": True}, "none", 416)
    mosaic = both["sample_transforms"][1]["Mosaic"]
    assert (mosaic["enable_mixup"], mosaic["input_dim"]) == (True, [416, 416])
    assert set(turns) == {"switch_epoch", "mosaic_epoch"}
    resize = both["batch_transforms"][0]["BatchRandomResize"]
    assert (resize["target_size"], resize["random_size"], resize["interp"]) == (416, False, 2)
    assert both["batch_transforms"][2] == {"Permute": {}}


def test_mixing_follows_the_epochs_of_the_run(folder: Path) -> None:
    job = folder / "job.yaml"
    job.write_text(job.read_text(encoding="utf-8") + "augment: {mosaic: true}\n", encoding="utf-8")
    plan = make_plan(*load_spec(job))
    assert plan.config["TrainReader"]["mosaic_epoch"] == 6
    assert plan.values["mosaic_epoch"].origin == "rule: 3/5 of the epochs"
    assert plan.numbers()["family"]["paths"]["mosaic_epoch"] == ["TrainReader", "mosaic_epoch"]


def test_augment_is_explained(folder: Path, jobgen: Callable[..., Answer]) -> None:
    job = folder / "job.yaml"
    text = job.read_text("utf-8")
    job.write_text(text + "augment: {preset: sar, flip: 0.2}\n", encoding="utf-8")
    rows = {row["name"]: row for row in jobgen("explain", job, "--json").json["values"]}
    line = len(text.splitlines()) + 1
    assert rows["augment.flip"]["origin"] == f"job.yaml:{line}"
    assert rows["augment.distort"] == {
        "name": "augment.distort", "value": "light", "origin": "preset sar",
    }  # fmt: skip
    assert jobgen("check", job).code == 0
    job.write_text(text + "augment: {flip: 2, spin: true}\n", encoding="utf-8")
    answer = jobgen("build", job)
    assert answer.code == 3
    assert "augment.flip" in answer.err
    assert "unknown key spin" in answer.err


def test_two_places_for_one_list_are_refused(folder: Path) -> None:
    more = "augment: {crop: false}\noverrides: {TrainReader: {sample_transforms: [{Decode: {}}]}}\n"
    (folder / "job.yaml").write_text(JOB + more, encoding="utf-8")
    with pytest.raises(SpecError, match=r"sample_transforms is not for overrides beside augment"):
        built(folder)


# A whole run, with a stand-in for Paddle: the changes take effect.


class Listener:
    """A webhook on loopback that answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.heard: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.heard.append(json.loads(body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.handler, self.address = Handler, ""


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    with served(found.handler) as address:
        found.address = f"{address}/hook-s3cret"
        yield found


@pytest.mark.kernel
def test_every_kind_of_change_takes_effect_in_a_run(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_zip(tmp_path / "set.zip", Coco().all_files()).read_bytes()
    job = (
        WHOLE_JOB + "template: sar\nparameters: {few_boxes: 5}\n"
        "overrides: {PicoHeadV2: {nms: {keep_top_k: 50}}}\n"
    )
    templates = {
        TRAIN: BLOCK + "{% block before %}note('a block'){% endblock %}",
        "notebook/90_collect.py.j2": '{% extends "base/notebook/90_collect.py.j2" %}'
        "{% block after %}note('collected'){% endblock %}",
        "notebook/66_mine.py.j2": 'with stage("mine"):\n    summary("an extra stage")\n',
    }
    whole = make_whole(tmp_path / "w 船", archive, job, templates)
    monkeypatch.setenv("JOBGEN_WEBHOOK", listener.address)
    code, said = whole.run()
    assert code == 0, said
    result = whole.result()
    stages = [stage["name"] for stage in result["stages"]]
    assert stages[5:9] == ["smoke", "histogram", "mine", "train"]
    notes = [note["text"] for note in result["notes"]]
    assert {"a block", "collected", "few boxes to train on: ship, boat"} <= set(notes)
    rows = (whole.output / "class_histogram.csv").read_text("utf-8").splitlines()
    assert rows == ["class,train,eval", '"ship",4,2', '"boat",4,2']
    model = (whole.output / "configs" / "picodet_xs_320_ships_lcnet.yml").read_text("utf-8")
    assert "keep_top_k: 50" in model
    assert [message["status"] for message in listener.heard] == ["ok"]
    assert listener.heard[0]["mAP50"] == 0.4
    every = "".join(
        path.read_text("utf-8", "replace") for path in whole.folder.rglob("*") if path.is_file()
        and path.suffix in (".json", ".jsonl", ".log", ".html", ".ipynb", ".yml")
    )  # fmt: skip
    assert "hook-s3cret" not in every
    # Its failure never fails the job; a failed job is told too.
    listener.status = 500
    code, said = whole.run("--new", "-p", "EPOCHS", "2", epochs=2, scores=[0.1, 0.2])
    assert code == 0, said
    listener.status = 200
    code, said = whole.run("--new", "-p", "EPOCHS", "1", epochs=1, die_in=0)
    assert code == 7, said
    assert listener.heard[-1]["status"] == "failed"
    assert "SIGKILL" in listener.heard[-1]["message"]


def test_a_folder_that_lies_here_is_no_built_in_pack(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = built(folder)
    for name in ("paddledetection", "sar"):
        shutil.copytree(templates_dir() / name, folder / "templates" / name)
    evil = folder / "templates" / "paddledetection" / "notebook" / "03_begin.py.j2"
    evil.write_text(evil.read_text("utf-8") + "os.system('touch x')\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    assert built(folder).files == before.files
    assert jobgen("build", "job.yaml").code == 0
    assert "touch x" not in (folder / "upload" / "main.ipynb").read_text("utf-8")


@pytest.mark.waits
def test_templates_of_somebody_are_named_and_trusted_once(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` asks about a bundle of theirs, though this machine built it."""
    monkeypatch.chdir(folder)
    theirs = folder / "templates" / TRAIN
    theirs.parent.mkdir(parents=True)
    theirs.write_text(BLOCK + "{% block before %}\nnote('theirs')\n{% endblock %}\n", "utf-8")
    (folder / "ships.zip").write_bytes(write_zip(folder / "x.zip", Coco().all_files()).read_bytes())
    answer = jobgen("build", "job.yaml")
    assert answer.code == 0
    assert f"{folder / 'templates'}: not jobgen's own" in answer.err
    run = ("run", "upload", "--archive", "ships.zip")
    asked = jobgen(*run, given="n\n")
    assert (asked.code, "the bundle was not run" in asked.err) == (7, True)
    # What the hint says, as it is printed.
    hint = answer.err.rpartition("until: jobgen ")[2].splitlines()[0]
    assert jobgen(*shlex.split(hint)).code == 0
    assert "not jobgen's own" not in jobgen("build", "job.yaml").err
    assert "Running it runs its code" not in jobgen(*run).err


def test_what_is_ejected_or_begun_here_is_trusted(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert jobgen("templates", "eject", TRAIN, "--job", "job.yaml").code == 0
    assert "not jobgen's own" not in jobgen("build", "job.yaml").err


@pytest.mark.parametrize("place", ["templates/notebook/75_x.py.j2", "templates/words/en.yml"])
def test_a_link_beside_a_job_is_refused(folder: Path, tmp_path: Path, place: str) -> None:
    """It would carry any file of this machine into a bundle."""
    secret = tmp_path / "secret"
    secret.write_text("key: private", encoding="utf-8")
    (folder / place).parent.mkdir(parents=True)
    (folder / place).symlink_to(secret)
    with pytest.raises(TemplateError, match="is a link to"):
        built(folder)


def test_a_linked_folder_of_templates_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / "notebook").mkdir(parents=True)
    (folder / "templates").symlink_to(tmp_path / "far", target_is_directory=True)
    with pytest.raises(TemplateError, match="is a link to"):
        built(folder)
    (folder / "templates").unlink()
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "template.yaml").write_text("name: p\nversion: 1\nextends: sar\n", encoding="utf-8")
    (pack / "runtime").symlink_to(tmp_path / "far", target_is_directory=True)
    with pytest.raises(TemplateError, match="is a link to"):
        load_pack(pack)


def test_a_block_that_no_layer_below_has_is_refused(folder: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        changed(folder, **{TRAIN: BLOCK + "{% block befor %}\nnote('x')\n{% endblock %}\n"})
    assert "70_train.py.j2:2: no layer below has a block befor" in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean before?")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("70_train", "note(NOTHERE)", "the cell train uses NOTHERE in line 4"),
        ("20_data", "print(PLACE)", "the cell data uses PLACE in line"),
        ("90_collect", "collect(run)", "the cell collect uses collect"),
        ("10_prepare", "notify('x')", "the cell prepare uses notify"),
    ],
)
def test_a_name_that_nothing_defines_is_refused(
    folder: Path, name: str, text: str, said: str
) -> None:
    """After hours of training it would be the end of a stage."""
    head = f'{{% extends "base/notebook/{name}.py.j2" %}}\n'
    own = head + "{% block body %}\n" + text + "\n{% endblock %}\n"
    with pytest.raises(TemplateError, match=said):
        changed(folder, **{f"notebook/{name}.py.j2": own})


def test_the_body_of_training_may_be_ones_own(folder: Path) -> None:
    """What later stages share is set before them."""
    more = "stages: [evaluate, infer, export]\n"
    call = "train(run.clone, run.config, run.save_dir, run.values, run.device, run.gpus, run.amp)"
    start = "from jobgen_runtime.train.training import train\n"
    own = BLOCK + "{% block body %}\n" + start + call + "\n{% endblock %}\n"
    changed(folder, more, **{TRAIN: own})


def test_an_upload_of_another_pack_is_checked_without_it(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle carries what of its pack the plan needs."""
    monkeypatch.chdir(folder)
    assert jobgen("templates", "new", "far", "--extends", "sar", "--folder", "packs/far").code == 0
    job = folder / "job.yaml"
    text = job.read_text("utf-8") + "template: packs/far\nparameters: {few_boxes: 5}\n"
    job.write_text(text.replace("epochs: 40", "epochs: 40\n  batch_size: 120"), encoding="utf-8")
    assert jobgen("build", job, "--no-check").code == 0
    shutil.rmtree(folder / "packs")
    answer = jobgen("check", folder / "upload")
    assert "PL005" in answer.out
    assert "BU013" not in answer.out


def pack_of(folder: Path, modules: dict[str, str], cell: str = "") -> Path:
    """A pack `mine` beside the job, with modules of its own and a cell in stage 26."""
    pack = folder / "mine"
    (pack / "runtime").mkdir(parents=True)
    (pack / "notebook").mkdir()
    (pack / "template.yaml").write_text("name: mine\nversion: 1\nextends: paddledetection\n")
    for name, text in modules.items():
        (pack / "runtime" / name).parent.mkdir(exist_ok=True)
        (pack / "runtime" / name).write_text(text)
    if cell:
        (pack / "notebook" / "26_x.py.j2").write_text(cell)
    return pack


FROM_M = "from jobgen_runtime.pack.m import f\n\nf()\n"


@pytest.mark.waits
@pytest.mark.parametrize(
    ("text", "carried"),
    [
        ("from .n import A\ndef f(): return A\n", "pack/n.py"),
        ("def f():\n    from jobgen_runtime.pack.n import A\n    return A\n", "pack/n.py"),
        (
            "try:\n    import os, jobgen_runtime.pack.n\nexcept ImportError: pass\ndef f(): pass\n",
            "pack/n.py",
        ),
        ("def f():\n    from jobgen_runtime.after.infer import infer\n", "after/infer.py"),
    ],
)
def test_what_a_packs_module_imports_is_carried_however_it_does(
    folder: Path, text: str, carried: str
) -> None:
    pack_of(folder, {"m.py": text, "n.py": "A, B = 1, 2\n"}, FROM_M)
    changed(folder, "template: mine\n")
    assert f"FILES[{carried!r}] = r'''" in parts_of(built(folder))["tools"]


@pytest.mark.waits
@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E", "g", "path"])
def test_every_name_that_python_knows_can_be_imported(folder: Path, name: str) -> None:
    text = "import os.path as path\nA, B = 1, 2\nC: dict={}\nD = E = 1\nasync def g(): pass\n"
    cell = f"from jobgen_runtime.pack.m import {name}\n"
    pack_of(folder, {"m.py": text}, cell)
    changed(folder, "template: mine\n")


@pytest.mark.waits
@pytest.mark.parametrize(
    ("modules", "cell", "said"),
    [
        ({"m.py": "def f(): return nothere\n"}, FROM_M, "uses nothere in line 1"),
        (
            {"m.py": "from jobgen.runtime.coco import x\ndef f(): pass\n"},
            FROM_M,
            "a notebook has no jobgen",
        ),
        ({"a/m.py": "def f(): pass\n"}, "", "can't be imported"),
        ({"my-mod.py": "def f(): pass\n"}, "", "can't be imported"),
        ({"m.py": "def f(): pass\n"}, "from .pack.m import f\n", "line 1 imports from .pack.m"),
        ({}, "from jobgen_runtime.stages import run\n", "sets run, which the cell begin defines"),
        ({}, "FILES = ['a.txt']\n", "sets FILES, which the cell tools defines"),
        ({}, "own = 3\n", "sets own, which the cell tools defines"),
    ],
)
def test_what_would_end_the_job_hours_later_is_refused(
    folder: Path, modules: dict[str, str], cell: str, said: str
) -> None:
    pack_of(folder, modules, cell)
    with pytest.raises(TemplateError) as caught:
        changed(folder, "template: mine\n")
    assert said in caught.value.message


def test_a_module_without_a_last_newline_that_ends_in_a_quote(folder: Path) -> None:
    pack_of(folder, {"m.py": "def f(): return 1\nX = 'a'"}, FROM_M)
    changed(folder, "template: mine\n")
    ast.parse(parts_of(built(folder))["tools"])


def test_an_ejected_file_keeps_its_own_words(folder: Path) -> None:
    cell = "note('base/data.json')\n"
    pack_of(folder, {}, cell)
    changed(folder, "template: mine\n")
    place = eject(load_job_pack("mine", folder), "notebook/26_x.py.j2", folder / "templates")
    assert cell in place.read_text(encoding="utf-8")
