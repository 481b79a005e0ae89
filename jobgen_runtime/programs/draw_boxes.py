"""Ground truth and prediction side by side: python draw_boxes.py REQUEST

REQUEST is a JSON file: `classes` (names), and `pictures`, each with `image` and `goal` (paths),
`truth` (a list of [class number, x1, y1, x2, y2], or null where it is not known) and `boxes` (a
list of [class number, score, x1, y1, x2, y2]). Prints whether a font here can show the names.
"""

import glob
import json
import os
import sys

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# The longest side of each half, in pixels: a page shows it no larger.
LONGEST = 800
COLOURS = (
    *((230, 60, 60), (60, 130, 250), (40, 170, 90), (240, 150, 30), (160, 80, 220)),
    *((20, 180, 190), (230, 90, 170), (120, 120, 30)),
)
# Folders with fonts, and what fonts with Chinese letters are named.
FONTS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", os.path.expanduser("~/.fonts")),
    *(os.path.expanduser("~/.local/share/fonts"), "/System/Library/Fonts"),
)
CHINESE = ("notosanscjk", "notosanssc", "wqy", "simfang", "simhei", "simsun", "sourcehan", "droid")


def shows(font, text):
    """Whether a font has a picture of its own for every letter."""
    missing = font.getmask(chr(0x10FFFD)).getbbox(), bytes(font.getmask(chr(0x10FFFD)))
    for letter in set(text) - set(" "):
        mask = font.getmask(letter)
        if not mask.getbbox() or (mask.getbbox(), bytes(mask)) == missing:
            return False
    return True


def candidates():
    """Font files, those that every matplotlib brings first."""
    try:
        import matplotlib

        yield os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    except ImportError:
        pass
    try:
        import ppdet

        yield os.path.join(os.path.dirname(ppdet.__file__), "utils", "simfang.ttf")
    except ImportError:
        pass
    for folder in FONTS:
        for ending in ("ttf", "ttc", "otf"):
            pattern = os.path.join(folder, "**", "*." + ending)
            for path in sorted(glob.glob(pattern, recursive=True)):
                if os.path.basename(path).lower().replace("-", "").startswith(CHINESE):
                    yield path


def choose_font(names, size):
    """A font that shows all the names, or one that shows numbers."""
    first = None
    for path in candidates():
        try:
            font = ImageFont.truetype(path, size)
            if all(shows(font, name) for name in names):
                return font, True
        except (OSError, ValueError):
            continue
        first = first or font
    own = ImageFont.load_default()
    try:
        if all(shows(own, name) for name in names):
            return own, True
    except ValueError:  # Pillow's older one knows Latin letters only
        pass
    return first or own, False


def draw_half(image, scale, rows, labels, font):
    picture = image.copy()
    draw = ImageDraw.Draw(picture)
    for (number, *corners), label in zip(rows, labels):
        colour = COLOURS[int(number) % len(COLOURS)]
        x1, y1, x2, y2 = [value * scale for value in corners]
        frame = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
        draw.rectangle(frame, outline=colour, width=2)
        width, height = draw.textbbox((0, 0), label, font=font)[2:]
        top = y1 - height - 4 if y1 > height + 4 else y1
        draw.rectangle([x1, top, x1 + width + 4, top + height + 4], fill=colour)
        draw.text((x1 + 2, top + 1), label, fill=(255, 255, 255), font=font)
    return picture


def read_image(path):
    """An image as training reads it; Pillow would start other programs for some formats."""
    with open(path, "rb") as stream:
        pixels = cv2.imdecode(np.frombuffer(stream.read(), dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SystemExit("Error: %s is no image that OpenCV can read" % path)
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def draw(row, names, font):
    image = read_image(row["image"])
    scale = min(1.0, LONGEST / float(max(image.size)))
    image = image.resize([max(1, round(side * scale)) for side in image.size])
    found = [[each[0]] + each[2:] for each in row["boxes"]]
    labels = ["%s %.2f" % (names[int(each[0])], each[1]) for each in row["boxes"]]
    halves = [draw_half(image, scale, found, labels, font)]
    if row["truth"] is not None:
        words = [names[int(each[0])] for each in row["truth"]]
        halves.insert(0, draw_half(image, scale, row["truth"], words, font))
    gap = 6
    width, height = image.size
    whole = Image.new("RGB", (len(halves) * (width + gap) - gap, height), (255, 255, 255))
    for number, half in enumerate(halves):
        whole.paste(half, (number * (width + gap), 0))
    os.makedirs(os.path.dirname(row["goal"]), exist_ok=True)
    whole.save(row["goal"], quality=88)


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        request = json.load(stream)
    names = request["classes"]
    font, legible = choose_font(names, 13)
    if not legible:
        # A number that the list beside the pictures explains is better than empty squares.
        names = [str(number) for number in range(len(names))]
    for row in request["pictures"]:
        draw(row, names, font)
    print(json.dumps({"pictures": len(request["pictures"]), "legible": legible}))


if __name__ == "__main__":
    main()
