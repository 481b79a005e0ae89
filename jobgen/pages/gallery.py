"""Pictures in a page, with boxes drawn over them that stay sharp and say what they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from jobgen_runtime.record.charts import COLOURS, escaped

SIDE = 420
QUALITY = 74
# More hide the picture.
MOST_BOXES = 200
# Shows the pictures that have what each menu asks for.
FILTER = """
document.querySelectorAll(".choice").forEach((choice) => {
  const gallery = choice.nextElementSibling, menus = [...choice.querySelectorAll("select")];
  const count = choice.querySelector("output");
  const show = () => {
    let shown = 0;
    for (const picture of gallery.children) {
      const fits = menus.every((menu) => !menu.value ||
        (picture.dataset[menu.name] || "").split(" ").includes(menu.value));
      picture.hidden = !fits;
      shown += fits;
    }
    count.textContent = shown + " / " + gallery.children.length;
  };
  menus.forEach((menu) => menu.addEventListener("change", show));
  show();
});
"""


@dataclass(frozen=True)
class Box:
    """A box on a picture in the picture's pixels: left, top, width and height; what it says, the
    number of its colour, and how it is drawn: as it is, as `truth`, or as `off`, which is wrong."""

    x: float
    y: float
    width: float
    height: float
    text: str
    colour: int
    kind: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture for a gallery: a JPEG, its size in pixels of the original, its boxes, what stands
    below it, and what the gallery's menus find it by, as {"split": "train"}."""

    jpeg: bytes
    width: int
    height: int
    boxes: Sequence[Box]
    caption: str
    found_by: dict[str, str] = field(default_factory=dict)

    def html(self) -> str:
        data = base64.b64encode(self.jpeg).decode()
        facts = "".join(f' data-{name}="{escaped(value)}"' for name, value in self.found_by.items())
        drawn = "".join(map(_drawn, self.boxes[:MOST_BOXES]))
        return (
            f'<figure{facts}><div class="drawn"><img alt="{escaped(self.caption)}" loading="lazy" '
            f'src="data:image/jpeg;base64,{data}"><svg viewBox="0 0 {self.width} {self.height}" '
            f'preserveAspectRatio="none" aria-hidden="true">{drawn}</svg></div>'
            f'<div class="dim">{escaped(self.caption)}</div></figure>\n'
        )


def _drawn(box: Box) -> str:
    kind = f" {box.kind}" if box.kind else ""
    return (
        f'<rect class="k{box.colour % COLOURS}{kind}" x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{max(0.0, box.width):.1f}" height="{max(0.0, box.height):.1f}" '
        f'vector-effect="non-scaling-stroke"><title>{escaped(box.text)}</title></rect>'
    )


def as_jpeg(image: Image.Image, side: int = SIDE) -> bytes:
    """A picture small enough for a page: its longer side is at most `side` pixels."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def cut_out(
    image: Image.Image, box: Sequence[float], room: float = 1.5
) -> tuple[Image.Image, int, int]:
    """The part of a picture around a box (left, top, width, height) with room on each side, as
    shares of its longer side; and where the part's left and top are."""
    wide = max(box[2], box[3], 16.0) * room
    left, top = max(0, int(box[0] - wide)), max(0, int(box[1] - wide))
    right = min(image.width, int(box[0] + box[2] + wide) + 1)
    bottom = min(image.height, int(box[1] + box[3] + wide) + 1)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1))), left, top


def gallery(pictures: Sequence[Picture], menus: dict[str, dict[str, str]] | None = None) -> str:
    """Pictures beside one another; `menus` choose among them: name to {value: what it says}, the
    first of which, with the value "", is all."""
    choice = ""
    if menus:
        lists = []
        for name, values in menus.items():
            options = "".join(f'<option value="{escaped(v)}">{escaped(text)}</option>'
                              for v, text in values.items())  # fmt: skip
            title = escaped(next(iter(values.values())))
            lists.append(f'<select name="{name}" aria-label="{title}">{options}</select>')
        choice = f'<div class="choice">{"".join(lists)}<output class="dim"></output></div>\n'
    return f'{choice}<div class="pictures">\n{"".join(p.html() for p in pictures)}</div>\n'
