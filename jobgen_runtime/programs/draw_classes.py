"""Pictures with what is there and what was found: python draw_classes.py REQUEST DRAW_BOXES

REQUEST is a JSON file: `pictures`, each with `image`, `goal`, `truth`, `found`, `numbers` (of the
two classes) and `score`. DRAW_BOXES is the path of draw_boxes.py, which knows this machine's fonts.
Prints a line of JSON: `pictures`, and `legible`: whether a font has all letters of the names; else
their numbers are drawn.
"""

import json
import runpy
import sys

import cv2
import numpy as np
from PIL import Image, ImageDraw

SIDE, LINE, LETTERS = 320, 26, 16
RIGHT, WRONG = (24, 120, 60), (190, 40, 40)


def read(path):
    with open(path, "rb") as stream:
        image = cv2.imdecode(np.frombuffer(stream.read(), dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        sys.exit("Error: OpenCV can't decode %s" % path)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    scale = SIDE / float(max(image.shape[:2]))
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return Image.fromarray(cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA))


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        pictures = json.load(stream)["pictures"]
    names = sorted({text for each in pictures for text in (each["truth"], each["found"])})
    font, legible = runpy.run_path(sys.argv[2])["choose_font"](names, LETTERS)
    for each in pictures:
        words = (each["truth"], each["found"]) if legible else map(str, each["numbers"])
        truth, found = words
        image = read(each["image"])
        canvas = Image.new("RGB", (SIDE, image.height + 2 * LINE), (255, 255, 255))
        canvas.paste(image, ((SIDE - image.width) // 2, 0))
        pen = ImageDraw.Draw(canvas)
        pen.text((6, image.height + 4), truth, fill=(40, 40, 40), font=font)
        colour = RIGHT if each["numbers"][0] == each["numbers"][1] else WRONG
        text = "%s  %.2f" % (found, each["score"])
        pen.text((6, image.height + LINE + 2), text, fill=colour, font=font)
        canvas.save(each["goal"], quality=90)
    print(json.dumps({"pictures": len(pictures), "legible": legible}))


if __name__ == "__main__":
    main()
