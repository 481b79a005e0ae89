"""Which images OpenCV does not decode: python decode_images.py REQUEST

REQUEST is a JSON file with a list of paths. Prints a line of JSON: `unread`, the paths of those
that give no pixels, at most 20 of them, and `looked_at`, how many were tried.
"""

import json
import sys

import cv2
import numpy as np

MOST = 20


def decodes(path):
    try:
        with open(path, "rb") as stream:
            data = np.frombuffer(stream.read(), dtype=np.uint8)
    except OSError:
        return False
    return data.size > 0 and cv2.imdecode(data, cv2.IMREAD_COLOR) is not None


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        paths = json.load(stream)
    unread, looked_at = [], 0
    for path in paths:
        looked_at += 1
        if not decodes(path):
            unread.append(path)
            if len(unread) == MOST:
                break
    print(json.dumps({"unread": unread, "looked_at": looked_at}))


if __name__ == "__main__":
    main()
