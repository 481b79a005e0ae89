"""Which of the two waits, the card or the reader, and what to do about it."""

from typing import Any, Dict, List

from jobgen_runtime.children.exchange import ask_child
from jobgen_runtime.children.processes import program_path, python_command
from jobgen_runtime.data.coco import annotation_path, read_coco
from jobgen_runtime.record.outcome import note, outcome
from jobgen_runtime.record.text import count_text, duration_text
from jobgen_runtime.setup.machine import core_count
from jobgen_runtime.train.hours import (
    evaluation_seconds,
    evaluations,
    train_seconds,
    waiting_share,
)
from jobgen_runtime.train.pace import MUCH_WAITING


def speed_text(found: Dict[str, Any], cards: int, device: str) -> str:
    """Reading beside training, as the smoke step has measured them."""
    reading, training = _rates(found, cards)
    processes = next(iter(found["reading"]["rates"]))
    text = "reading %.0f images/s with %s, training %.*f" % (
        reading,
        count_text(int(processes), "process"),
        0 if training >= 10 else 1,
        training,
    )
    share = waiting_share(reading, training)
    if device == "gpu" and share > 0.05:
        text += ": the card waits %.0f %% of the time" % (100 * share)
    return text


def tell_waiting(found: Dict[str, Any], cards: int, device: str, remedy: str) -> None:
    """A note with what to do, where a card will wait for its pictures for much of the time."""
    share = waiting_share(*_rates(found, cards))
    if device == "gpu" and share > MUCH_WAITING:
        note("the card will wait for pictures %.0f %% of the time: %s" % (100 * share, remedy))


def expect_training(
    found: Dict[str, Any], values: Dict[str, Any], eval_images: int, cards: int
) -> float:
    """Seconds of the training at the speed of the smoke step, its evaluations included. Notes
    where the time limit ends it before."""
    reading, training = _rates(found, cards)
    seconds = train_seconds(values, min(reading, training), 1.0)
    count = evaluations(values["epochs"], values["snapshot_epoch"])
    seconds += count * evaluation_seconds(eval_images, training, reading)
    run = outcome()
    run.data["expected"] = {"train_seconds": round(seconds, 1), "from": "smoke"}
    left = run.seconds_left()
    if left is not None and seconds > left:
        note(
            "at this speed the training takes %s, and TIME_LIMIT_HOURS leaves %s: it will be "
            "stopped in about epoch %d of %d, and the same job run again resumes from there"
            % (
                duration_text(seconds),
                duration_text(left),
                max(1, int(values["epochs"] * left / seconds)),
                values["epochs"],
            )
        )
    return seconds


def remedy(place: Dict[str, Any], shrink: Any, workers: int, largest_side: int) -> str:
    """What to do where training waits for its pictures; `largest_side` is the largest input of
    training in pixels."""
    cores, side = core_count(), short_side(place)
    if workers < cores:
        return "WORKERS = %d lets all cores of this machine read" % cores
    if shrink == "off" and side > 2 * largest_side:
        return (
            "dataset.shrink: auto in job.yaml has training read smaller copies of its pictures, "
            "most of which have %d px on the short side" % side
        )
    if side > 1.25 * largest_side:
        return (
            "dataset.shrink: %d in job.yaml has it read copies as small as the model's largest "
            "input; objects in crops then look coarser" % largest_side
        )
    return (
        "a machine with more cores reads faster (here are %d); without `augment: {distort: none}` "
        "half of the reading may be colours" % cores
    )


def short_side(place: Dict[str, Any]) -> int:
    """The median short side of the training pictures, in pixels, as their annotations have it."""
    images = read_coco(annotation_path(place, "train"))["images"]
    sides = sorted(min(image["width"], image["height"]) for image in images)
    return int(sides[len(sides) // 2]) if sides else 0


def measure_reader(clone: str, config: str, seconds: float, processes: List[int]) -> Dict[str, Any]:
    """How fast the reader of a config is: see programs/reader_speed.py."""
    numbers = ",".join(map(str, processes))
    argv = python_command(program_path("run_tool"), program_path("reader_speed"))
    argv += [config, str(seconds), numbers]
    found: Dict[str, Any] = ask_child(argv, "smoke", "measuring the reader", clone)
    return found


def _rates(found: Dict[str, Any], cards: int) -> List[float]:
    """Images/s that are read, and that all cards train."""
    reading = max(found["reading"]["rates"].values())
    return [max(reading, 1e-3), max(found["images_per_second"] * cards, 1e-3)]
