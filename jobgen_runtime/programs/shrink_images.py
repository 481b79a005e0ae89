"""Smaller copies of large pictures: python shrink_images.py REQUEST ANSWER

REQUEST is a JSON file: `images` (paths), `folder` (where the copies go), `over` and `to` (the short
side in pixels over which a picture is large, and that of its copy), `threads`, and `most_grain`
(null: any): where a few of the pictures have more of it, see grain(), nothing is copied, and the
line of JSON that is printed has `grain`. ANSWER gets a list,
for each path `{"name", "size": [width, height], "was": [width, height]}` of its copy, or null where
the picture stays. A copy is a JPEG of quality 95 of a JPEG and a PNG of all else, as OpenCV reads
the picture: turned by its EXIF tag, 8 bits. Its name has the hash of the picture's bytes and the
sizes, so that one that is there need not be made.
"""

import hashlib
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

JPEG = b"\xff\xd8"
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
# Half the time of the default, for a tenth more bytes.
LOSSLESS = [cv2.IMWRITE_PNG_COMPRESSION, 1]
TELL_EVERY = 2.0
LOOKED_AT = 12
ABANDONED_AFTER = 3600.0
COPY = re.compile(
    r"(?P<hash>[0-9a-f]{32})-(?P<to>\d+)-(?P<old_width>\d+)x(?P<old_height>\d+)-"
    r"(?P<width>\d+)x(?P<height>\d+)\.(jpg|png)$"
)


def known_copies(folder, over, to):
    """The copies that are there, by the hash of what they were made of. Those made with other
    settings, and what a kill left half written, are removed."""
    found = {}
    for name in os.listdir(folder):
        copy = COPY.match(name)
        if copy and int(copy.group("to")) == to:
            was = [int(copy.group("old_width")), int(copy.group("old_height"))]
            size = [int(copy.group("width")), int(copy.group("height"))]
            if min(was) > over:
                found[copy.group("hash")] = {"name": name, "size": size, "was": was}
        elif copy or (name.endswith(".tmp") and _is_abandoned(os.path.join(folder, name))):
            os.remove(os.path.join(folder, name))
    return found


def _is_abandoned(path):
    """Another run of the same home may be writing a young one."""
    try:
        return time.time() - os.path.getmtime(path) > ABANDONED_AFTER
    except OSError:
        return False


def read_bytes(path):
    """Empty of a file that can't be read: training tells of it."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def decoded(data, how):
    """A picture as OpenCV reads it; None where it reads none."""
    return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), how) if data else None


def copy_of(path, folder, over, to, known):
    """The copy of a picture, made where it is not there; None where the picture stays."""
    data = read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()[:32]
    if digest in known:
        return known[digest]
    image = decoded(data, cv2.IMREAD_COLOR)
    if image is None or min(image.shape[:2]) <= over:
        return None
    height, width = image.shape[:2]
    by = to / float(min(height, width))
    size = [max(1, round(width * by)), max(1, round(height * by))]
    small = sampled(image, *size)
    is_jpeg = data.startswith(JPEG)
    ending, options = (".jpg", QUALITY) if is_jpeg else (".png", LOSSLESS)
    name = "%s-%d-%dx%d-%dx%d%s" % (digest, to, width, height, size[0], size[1], ending)
    written = cv2.imencode(ending, small, options)[1]
    write_whole(os.path.join(folder, name), written.tobytes())
    return {"name": name, "size": size, "was": [width, height]}


def sampled(image, width, height):
    """The picture's own pixels nearest to the middle of each new one.

    Nothing is averaged: the reader, evaluation and the exported model make a large picture small
    from a few of its pixels each, so that noise and fine structure stay in what the model sees. A
    smoother copy would train it on cleaner pictures than it ever meets again.
    """
    rows = ((np.arange(height) + 0.5) * image.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * image.shape[1] / width).astype(int)
    # A quarter of the time that indexing by lists of numbers takes.
    return np.take(np.take(image, rows, axis=0), columns, axis=1)


def grain(path, over, to):
    """What averaging takes away from a picture at the size of its copy, as a share of the contrast
    that it leaves: about 0.2 for photographs, 1 for speckle. None for what is not copied."""
    image = decoded(read_bytes(path), cv2.IMREAD_GRAYSCALE)
    if image is None or min(image.shape) <= over:
        return None
    by = to / float(min(image.shape))
    size = (round(image.shape[1] * by), round(image.shape[0] * by))
    smooth = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    taken = sampled(image, *size) - smooth
    return float(taken.std() / max(float(smooth.std()), 1.0))


def usual_grain(pool, paths, over, to):
    """The median of a few pictures, evenly from first to last."""
    count = min(LOOKED_AT, len(paths))
    few = [paths[number * len(paths) // count] for number in range(count)]
    found = sorted(g for g in pool.map(lambda p: grain(p, over, to), few) if g is not None)
    return found[len(found) // 2] if found else 0.0


def write_whole(path, data):
    """Two pictures may be the same: each writes a file of its own beside, the last one stays."""
    beside = "%s.%d-%d.tmp" % (path, os.getpid(), time.perf_counter() * 1e9)
    try:
        with open(beside, "wb") as stream:
            stream.write(data)
        os.replace(beside, path)
    except OSError:
        if os.path.exists(beside):
            os.remove(beside)
        raise


def main():
    # Each thread has a picture of its own.
    cv2.setNumThreads(1)
    with open(sys.argv[1], encoding="utf-8") as stream:
        request = json.load(stream)
    how = (request["folder"], request["over"], request["to"])
    rows, told = [], time.time()
    with ThreadPoolExecutor(request["threads"]) as pool:
        if request["most_grain"] is not None:
            found = usual_grain(pool, request["images"], *how[1:])
            if found > request["most_grain"]:
                print(json.dumps({"grain": round(found, 2)}))
                return
        known = known_copies(*how)
        for row in pool.map(lambda path: copy_of(path, *how, known), request["images"]):
            rows.append(row)
            if time.time() - told >= TELL_EVERY:
                told = time.time()
                print("shrunk %d of %d" % (len(rows), len(request["images"])), flush=True)
    with open(sys.argv[2], "w", encoding="utf-8") as stream:
        json.dump(rows, stream)
    used = {row["name"] for row in rows if row}
    made = used - {row["name"] for row in known.values()}
    print(json.dumps({"copies": len(used), "made": len(made)}))


if __name__ == "__main__":
    main()
