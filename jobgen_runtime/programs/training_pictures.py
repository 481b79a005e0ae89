"""Training pictures as the model gets them, after augmentation, with their boxes."""

import os

import cv2
import numpy

# From one of these on a picture is numbers for the model, and a box is a target.
FOR_THE_MODEL = ("Normalize", "Permute", "BboxXYXY2XYWH", "Rbox2Poly", "Pad", "Gt2", "Mask2")
# Of the classes, blue first.
COLOURS = ((60, 60, 230), (250, 130, 60), (90, 170, 40), (30, 150, 240), (220, 80, 160))


def shown_part(transforms):
    """The transforms up to the first that is for the model, and whether there is one."""
    for place, transform in enumerate(transforms):
        if type(transform).__name__.startswith(FOR_THE_MODEL):
            return transforms[:place], True
    return list(transforms), False


def draw(sample):
    """A picture (BGR) with its boxes."""
    pixels = numpy.clip(numpy.asarray(sample["image"]), 0, 255).astype(numpy.uint8)
    picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    numbers = numpy.asarray(sample.get("gt_class", ())).reshape(-1)
    for number, box in zip(numbers, sample.get("gt_bbox", ())):
        x1, y1, x2, y2 = (round(float(value)) for value in box[:4])
        cv2.rectangle(picture, (x1, y1), (x2, y2), COLOURS[int(number) % len(COLOURS)], 1)
    return picture


def draw_training_pictures(dataset, reader, goal, count):
    """Write `count` pictures of the training into the folder `goal`, as 1.jpg; spread over the set,
    each with what chance makes of it. The reader is of no use afterwards. Gives how many there are:
    none where a picture fails, of which training itself will tell."""
    try:
        sample, batched = reader._sample_transforms, reader._batch_transforms
        sample.transforms_cls, ends = shown_part(sample.transforms_cls)
        count = min(count, len(dataset))
        batch = [dataset[place * len(dataset) // count] for place in range(count)]
        for transform in [] if ends else shown_part(batched.transforms_cls)[0]:
            batch = transform(batch)
        os.makedirs(goal, exist_ok=True)
        for number, picture in enumerate(map(draw, batch), 1):
            _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
            with open(os.path.join(goal, "%d.jpg" % number), "wb") as stream:
                stream.write(coded.tobytes())
        return len(batch)
    except Exception:
        return 0
