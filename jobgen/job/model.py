"""A model as a job has it: at the job's input size, with the job's augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobgen.catalog import Model, Turn, inside, layer_values, suite_paths
from jobgen.catalog.augment import every_choice, reader_values, turns_of
from jobgen.catalog.sizes import largest_side
from jobgen.spec import JobSpec
from jobgen_runtime.train.configure import merge_dicts

# How many images' boxes one image of training may have: PaddleDetection draws four beside the
# first, of which mosaic takes three, and its mixup the last.
IMAGES_IN_ONE = {"mosaic_epoch": 5, "mixup_epoch": 2}
LISTS = frozenset(("sample_transforms", "batch_transforms"))


@dataclass(frozen=True)
class JobModel:
    """`config` is the model's at the job's size in pixels, `own` what the job's file sets of it so
    far, `augment` every choice of augmentation, `turns` the keys that name an epoch;
    `given_lists` are the reader's lists that overrides have; `bases` are those of the job's
    file; `of_pack` names what of `augment` the template pack chose."""

    model: Model
    size: int
    config: dict[str, Any]
    own: dict[str, Any]
    augment: dict[str, Any]
    turns: dict[str, Turn]
    given_lists: frozenset[str]
    bases: tuple[str, ...]
    of_pack: tuple[str, ...]

    @classmethod
    def of(cls, spec: JobSpec, model: Model, pack_augment: dict[str, Any]) -> JobModel:
        size = model.size if spec.model.input_size == "auto" else spec.model.input_size
        bases, kept = _bases(spec, model)
        own = merge_dicts(merge_dicts(kept, model.own), model.family.sets)
        if size != model.size:
            own = merge_dicts(own, model.at_size(size))
        config = merge_dicts(model.config(), own)
        # The job's preset stands for itself.
        of_pack = {} if spec.augment.preset is not None else pack_augment
        augment, turns = _augment(spec, model, of_pack), model.turns()
        if augment:
            own = merge_dicts(own, reader_values(augment, config, model.family))
            config = merge_dicts(config, own)
            turns = turns_of(augment, turns)
        reader = spec.overrides.get("TrainReader")
        given = frozenset(reader) & LISTS if isinstance(reader, dict) else frozenset()
        return cls(model, size, config, own, augment, turns, given, bases, tuple(of_pack))

    @property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Where the values of the plan stand in this model's config."""
        found = {name: path for name, path in suite_paths().items()
                 if name != "norm_type" or "norm_type" in self.config}  # fmt: skip
        return {**found, **{name: turn.path for name, turn in self.turns.items()}}

    def padded(self) -> dict[str, Any]:
        """The lists of a reader that pads the boxes of an image to a number, and how many images
        are mixed into one; empty for a reader that takes all boxes."""
        steps = self.config["TrainReader"]["batch_transforms"]
        most = [step["PadBox"]["num_max_boxes"] for step in steps if "PadBox" in step]
        if not most or "batch_transforms" in self.given_lists:
            return {}
        mixed = max((IMAGES_IN_ONE.get(name, 1) for name in self.turns), default=1)
        return {"padded": {"boxes": most[0], "images": mixed, "batch_transforms": steps}}

    def later_colours(self) -> dict[str, Any]:
        """The reader's lists with the colours changed behind the resize; empty where upstream does
        so, or where that would be another training.

        RandomDistort adds to a pixel's channels, scales and mixes them, and a crop, a flip and a
        resize (whose weights add up to one) only choose and average pixels: so they may change
        places, but for the rounding to 8 bits. At full size it takes most of the reader's time.
        Behind RandomExpand the places stay: what that fills in has no changed colours.
        """
        reader = self.config["TrainReader"]
        steps, batch = reader["sample_transforms"], reader["batch_transforms"]
        names, first = [name for step in steps for name in step], next(iter(batch[0]), "")
        if self.given_lists or self.padded() or first != "BatchRandomResize":
            return {}
        if "RandomDistort" not in names:
            return {}
        place = names.index("RandomDistort")
        if not set(names[place + 1 :]) <= {"RandomCrop", "RandomFlip"}:
            return {}
        return {
            "later_colours": {
                "sample_transforms": [*steps[:place], *steps[place + 1 :]],
                "batch_transforms": [batch[0], steps[place], *batch[1:]],
            }
        }

    def carried(self) -> dict[str, Any]:
        """What the notebook needs of the model, as plain data."""
        family = self.model.family
        return {
            **self.padded(),
            **self.later_colours(),
            "folder": family.folder,
            "base_lr_per_image": self.model.base_lr_per_image,
            "schedule": list(family.schedule),
            "warmup": family.warmup,
            "turns": {name: turn.carried() for name, turn in self.turns.items()},
            "through": [name for name, turn in self.turns.items() if turn.through],
            "losses": list(family.losses),
            # The largest input of training, in pixels.
            "largest_side": largest_side(self.config, family),
            "paths": {name: list(path) for name, path in self.paths.items()},
        }


def _bases(spec: JobSpec, model: Model) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The bases of the job's file, and what it has to set in place of those left out.

    An override with another type of optimizer can't stand over a base with one. PaddleDetection
    merges the two, and Paddle stops at keys such as Momentum's in AdamW."""
    path = ("OptimizerBuilder", "optimizer", "type")
    wanted = inside(spec.overrides, path)
    if wanted in (None, inside(model.config(), path)):
        return model.bases, {}
    kept: dict[str, Any] = {}
    left_out = [base for base in model.bases if path[0] in layer_values(base)]
    for base in left_out:
        values = layer_values(base)
        builder = {key: v for key, v in values[path[0]].items() if key != path[1]}
        kept = merge_dicts(kept, {**values, path[0]: builder})
    return tuple(base for base in model.bases if base not in left_out), kept


def _augment(spec: JobSpec, model: Model, of_pack: dict[str, Any]) -> dict[str, Any]:
    """What training does to its images, every choice; empty where neither job nor pack asks for
    anything: then the config's own lists stay as they are."""
    given = {name: v for name, v in spec.augment.model_dump().items() if v is not None}
    asked = {**of_pack, **given}
    if not asked:
        return {}
    preset = asked.pop("preset", "default")
    return {"preset": preset, **every_choice(asked, preset, model.config(), model.family)}
