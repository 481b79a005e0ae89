from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobgen.catalog import environments, models, pins, platform
from jobgen.catalog.pairings import with_pairings
from jobgen.catalog.picodet import (
    config_sha256,
    known_sha256,
    scale_sizes,
)
from jobgen.catalog.trainer import class_parameters, trainer_keys
from jobgen.errors import SpecError
from jobgen.yamlio import plain
from jobgen_runtime.record import collect
from jobgen_runtime.train import schedule as rules
from jobgen_runtime.train.schedule import linear_base_lr
from tests.class_parameters import shared_parameters
from tests.class_parameters import trainer_keys as read_by_the_trainer
from tests.conftest import ROOT, real_data

NAMES = sorted(models())


def test_the_models_that_are_known() -> None:
    assert (
        sorted(
            [
                f"picodet_{size}_{pixels}_coco_lcnet"
                for size in ("xs", "s", "m", "l")
                for pixels in (320, 416)
            ]
            + ["picodet_l_640_coco_lcnet"]
        )
        == NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_the_one_whose_hash_is_committed(name: str) -> None:
    assert config_sha256(models()[name].config()) == known_sha256(name)


@pytest.mark.parametrize("revision", ["v2.6.0", "release-2.6", "release-2.7", "develop-666f597fd0"])
@pytest.mark.parametrize("name", NAMES)
def test_a_config_equals_upstreams_resolved_one(name: str, revision: str) -> None:
    path = real_data("picodet-resolved") / revision / f"{name}.json"
    assert plain(models()[name].config()) == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_the_published_learning_rates_are_the_linear_rules(name: str) -> None:
    model = models()[name]
    assert (
        linear_base_lr(model.batch_size, model.gpus, model.family.base_lr_per_image)
        == model.base_lr
    )


def test_scales() -> None:
    assert scale_sizes(640) == [576, 608, 640, 672, 704]


def test_every_environment_has_a_verifiable_revision() -> None:
    assert set(environments()) == {
        "paddle2.4_py3.7",
        "paddle2.5_py3.10",
        "paddle2.6_py3.10",
        "paddle3.0_py3.10",
    }
    for environment in environments().values():
        revision = environment.revision
        assert len(revision.commit) == 40
        assert len(revision.ppdet) == 64
        assert revision.ref in (revision.commit, revision.name)
        assert {fix["id"] for fix in revision.fixes} >= {"one-card-nan"}
        for fix in revision.fixes:
            assert fix["old"] not in fix["new"], "undoing the fix would not be exact"


def test_pins_are_full_and_exact() -> None:
    for environment in environments().values():
        if environment.local is None:
            with pytest.raises(SpecError, match="PyPI has no Paddle"):
                pins(environment)
            continue
        rows = pins(environment).splitlines()
        assert all("==" in row for row in rows)
        names = {row.split("==")[0] for row in rows}
        assert {"paddlepaddle", "numpy", "ipykernel", "opencv-python-headless"} <= names
        assert "numpy==1.26.4" in rows


def test_the_fix_is_found_once_in_every_revision() -> None:
    import os

    checkout = os.environ.get("JOBGEN_PADDLEDETECTION")
    if not checkout:
        pytest.skip("JOBGEN_PADDLEDETECTION names no checkout")
    for fix in environments()["paddle2.6_py3.10"].revision.fixes:
        assert Path(checkout, fix["file"]).read_text(encoding="utf-8").count(fix["old"]) == 1


def test_the_parameters_are_those_of_the_source() -> None:
    import os

    checkout = os.environ.get("JOBGEN_PADDLEDETECTION")
    if not checkout:
        pytest.skip("JOBGEN_PADDLEDETECTION names no checkout")
    theirs, keys = shared_parameters([Path(checkout)]), read_by_the_trainer(Path(checkout))
    for name, parameters in class_parameters().items():
        assert set(parameters) <= set(theirs[name])
    assert trainer_keys() <= keys


def test_the_notebooks_limits_are_the_platforms() -> None:
    limits = platform()
    assert rules.CHECKPOINT_ROOM * 2 == limits.bytes_left == collect.BYTES_LEFT
    assert limits.files_left == collect.FILES_LEFT


@pytest.mark.parametrize(("page", "language"), [("after.md", "en"), ("after.zh-CN.md", "zh")])
def test_the_table_of_pairings_is_the_catalogues(page: str, language: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert with_pairings(text, language) == text
    assert all(f"`{name}`" in text for name in environments())


def test_only_the_catalogue_names_a_family() -> None:
    """Another family is a file: nothing else knows a head, a key of one or a family's name."""
    folders = [ROOT / "jobgen", ROOT / "jobgen_runtime", ROOT / "templates"]
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        inside = path.relative_to(ROOT).as_posix()
        if inside.startswith("jobgen/catalog/") or path.suffix == ".pyc":
            continue
        text = path.read_text(encoding="utf-8")
        found = [word for word in ("picodet", "PicoHeadV2", "static_assigner") if word in text]
        assert not found, f"{inside} names {found}"
