"""How fast a training's pictures are read: python reader_speed.py CONFIG SECONDS PROCESSES

Builds the very reader of CONFIG and lets it read, for SECONDS each, with every number of processes
in PROCESSES, as 1,2,4; each process reads random pictures of the training set, to the end of the
reader's lists. Prints a line of JSON: `rates` (images/s by number of processes), `steps`
(milliseconds of a picture by transform, with one process; also `rest`, what is between them) and
`pictures`, how many were looked at; or `fault`.
"""

import json
import multiprocessing
import queue
import sys
import time
from typing import Dict, List, Tuple

try:
    import cv2  # noqa: F401
except ImportError:
    pass
import numpy
from ppdet.core.workspace import create, load_config

# A batch is made of few pictures here, so that a short look has several.
TOGETHER = 4


class Timed:
    """A transform that adds up its time."""

    def __init__(self, transform, times):
        self.transform = transform
        self.name = type(transform).__name__
        self.times = times

    def __call__(self, sample):
        started = time.perf_counter()
        try:
            return self.transform(sample)
        finally:
            passed = time.perf_counter() - started
            self.times[self.name] = self.times.get(self.name, 0.0) + passed


def read_for(dataset, reader, together, seconds, seed):
    """Read batches for so many seconds, one at least; gives pictures and seconds."""
    numpy.random.seed(seed)
    started, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - started < seconds:
        chosen = numpy.random.randint(0, len(dataset), together)
        reader._batch_transforms([dataset[int(number)] for number in chosen])
        done += together
    return done, time.perf_counter() - started


def by_steps(dataset, reader, together, seconds):
    """Milliseconds of a picture by transform."""
    times: Dict[str, float] = {}
    chains = (reader._sample_transforms, reader._batch_transforms)
    kept = [list(chain.transforms_cls) for chain in chains]
    for chain in chains:
        chain.transforms_cls = [Timed(each, times) for each in chain.transforms_cls]
    done, passed = read_for(dataset, reader, together, seconds, 1)
    for chain, transforms in zip(chains, kept):
        chain.transforms_cls = transforms
    times["rest"] = max(0.0, passed - sum(times.values()))
    return {name: round(1e3 * value / done, 2) for name, value in times.items()}, done


def rate(dataset, reader, together, seconds, processes):
    """Images/s of several processes at once. They are forked, as the training's own are. Raises
    RuntimeError where one of them dies."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def work(seed):
        answers.put(read_for(dataset, reader, together, seconds, seed))

    workers = [context.Process(target=work, args=(100 + n,), daemon=True) for n in range(processes)]
    for worker in workers:
        worker.start()
    found: List[Tuple[int, float]] = []
    while len(found) < processes:
        try:
            found.append(answers.get(timeout=1.0))
        except queue.Empty:
            if any(worker.exitcode for worker in workers):
                for worker in workers:
                    worker.terminate()
                raise RuntimeError("a process that reads has died")
    for worker in workers:
        worker.join()
    return round(sum(done / passed for done, passed in found), 2)


def look_at_reader(dataset, reader, seconds, processes):
    """What of a reader is to be known: `rates`, `steps` and `pictures`, as said above; only a
    `fault` where a picture or a process fails, of which training itself will tell."""
    try:
        together = max(1, min(TOGETHER, reader.batch_size))
        steps, looked_at = by_steps(dataset, reader, together, seconds)
        rates = {n: rate(dataset, reader, together, seconds, n) for n in processes}
    except Exception as error:
        return {"fault": "%s: %s" % (type(error).__name__, error)}
    return {"rates": rates, "steps": steps, "pictures": looked_at}


def main():
    load_config(sys.argv[1])
    dataset = create("TrainDataset")()
    reader = create("TrainReader")(dataset, 0)
    processes = [int(number) for number in sys.argv[3].split(",")]
    print(json.dumps(look_at_reader(dataset, reader, float(sys.argv[2]), processes)))


if __name__ == "__main__":
    main()
