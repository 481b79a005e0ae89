"""Which of the two waits, the card or the reader, and what to do about it."""

from typing import Any, Dict, List, NamedTuple

from jobgen_runtime.children.exchange import ask_child
from jobgen_runtime.children.processes import program_path, python_command
from jobgen_runtime.data.coco import annotation_path, read_coco
from jobgen_runtime.record.outcome import note, outcome
from jobgen_runtime.record.text import count_text, duration_text
from jobgen_runtime.setup.machine import core_count
from jobgen_runtime.train.hours import (
    EPOCH_START,
    evaluation_seconds,
    evaluations,
    train_seconds,
    waiting_share,
)
from jobgen_runtime.train.pace import MUCH_WAITING


def speed_text(found: Dict[str, Any], device: str) -> str:
    """Reading beside training, of one card, as the smoke step has measured them."""
    if not measured(found):
        return "reading could not be measured (%s)" % found["reading"]["fault"]
    reading, training = _rates(found)
    text = "reading %.0f images/s with %s, training %.*f" % (
        reading,
        count_text(int(next(iter(found["reading"]["rates"]))), "%d process", "%d processes"),
        0 if training >= 10 else 1,
        training,
    )
    share = waiting_share(reading, training)
    if device == "gpu" and share > 0.05:
        text += ": the card waits %.0f %% of the time" % (100 * share)
    return text


def measured(found: Dict[str, Any]) -> bool:
    """Whether the smoke step could measure the reader."""
    return bool(found["reading"].get("rates"))


def tell_waiting(found: Dict[str, Any], device: str, advice: str) -> None:
    """A note with what to do, where a card will wait for its pictures for much of the time."""
    share = waiting_share(*_rates(found))
    if device == "gpu" and share > MUCH_WAITING:
        note("the card will wait for pictures %.0f %% of the time: %s" % (100 * share, advice))


def expect_training(
    found: Dict[str, Any],
    values: Dict[str, Any],
    eval_images: int,
    device: str,
    done: int = 0,
    larger: float = 1.0,
) -> float:
    """Seconds of the training at the speed of the smoke step, its evaluations included, with
    `done` epochs behind it. Evaluation reads pictures with `larger` times the pixels. Notes where
    the time limit ends the training before its last epoch."""
    reading, training = _rates(found)
    # A CPU reads and trains with the same cores.
    card = min(reading, training) if device == "gpu" else 1 / (1 / reading + 1 / training)
    left_over = dict(values, epochs=values["epochs"] - done)
    seconds = train_seconds(left_over, card * values["gpus"], EPOCH_START)
    count = evaluations(left_over["epochs"], values["snapshot_epoch"])
    seconds += count * evaluation_seconds(eval_images, training, reading / larger)
    run = outcome()
    run.data["expected"] = {"train_seconds": round(seconds, 1), "from": "smoke"}
    print("%-10straining should take %s" % ("", duration_text(seconds)), flush=True)
    left = run.seconds_left()
    if left is not None and seconds > left:
        note(
            "at this speed the training takes %s, and TIME_LIMIT_HOURS leaves %s: it will be "
            "stopped in about epoch %d of %d, and the same job run again resumes from there"
            % (
                duration_text(seconds),
                duration_text(left),
                done + max(1, int(left_over["epochs"] * left / seconds)),
                values["epochs"],
            )
        )
    return seconds


class Reads(NamedTuple):
    """How a training reads: `dataset.shrink`, processes, how many of them the machine has cores
    and memory for, the largest input of training in pixels, and whether colours are changed."""

    shrink: Any
    workers: int
    most_workers: int
    largest_side: int
    colours: bool


def remedy(place: Dict[str, Any], how: Reads) -> str:
    """What to do where training waits for its pictures."""
    side = short_side(place)
    if how.workers < how.most_workers:
        return "WORKERS = %d lets all cores of this machine read" % how.most_workers
    if how.shrink == "off" and side > 2 * how.largest_side:
        return (
            "dataset.shrink: auto in job.yaml has training read smaller copies of its pictures, "
            "most of which have %d px on the short side; it begins anew with them" % side
        )
    if side > 1.25 * how.largest_side:
        return (
            "dataset.shrink: %d in job.yaml has it read copies as small as the model's largest "
            "input, and begin anew with them; objects in crops then look coarser" % how.largest_side
        )
    text = "a machine with more cores reads faster (here are %d)" % core_count()
    if how.colours:
        text += "; `augment: {distort: none}` in job.yaml spares the changing of colours"
    return text


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


def _rates(found: Dict[str, Any]) -> List[float]:
    """Images/s that are read for a card, and that it trains."""
    reading = max(found["reading"]["rates"].values())
    return [max(reading, 1e-3), max(found["images_per_second"], 1e-3)]
