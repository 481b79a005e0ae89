// A detector in a browser: pixels prepared as infer_cfg.yml says, boxes suppressed as detect.py does.
"use strict";

// OpenCV's weights of INTER_LINEAR are whole numbers of this part.
const PART = 2048;

/** Weights of four pixels. As in OpenCV's builds for x86 they are not rounded: its other builds round
 * them to a 2048th, which moves one value in 25 by 1. */
function cubic(x) {
  const A = -0.75;
  const near = y => ((A + 2) * y - (A + 3)) * y * y + 1;
  const first = ((A * (x + 1) - 5 * A) * (x + 1) + 8 * A) * (x + 1) - 4 * A;
  const second = near(x), third = near(1 - x);
  return [first, second, third, 1 - first - second - third];
}

function roundEven(value) {
  const whole = Math.floor(value), rest = value - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2 !== 0) ? whole + 1 : whole;
}

/** For each place of a resized side: where its pixels lie in the source, and their weights. */
function taps(size, goal, scale, interpolation) {
  const count = interpolation === 2 ? 4 : 2;
  const places = new Int32Array(goal * count), weights = new Float64Array(goal * count);
  for (let at = 0; at < goal; at++) {
    let x = Math.fround((at + 0.5) * scale - 0.5);
    let left = Math.floor(x);
    x = Math.fround(x - left);
    if (interpolation === 1 && (left < 0 || left >= size - 1)) {
      x = 0;
      left = Math.min(Math.max(left, 0), size - 1);
    }
    const parts = interpolation === 2 ? cubic(x) : [Math.fround(1 - x), x];
    for (let k = 0; k < count; k++) {
      const place = left + k - (interpolation === 2 ? 1 : 0);
      places[at * count + k] = Math.min(Math.max(place, 0), size - 1);
      weights[at * count + k] = interpolation === 2 ? parts[k] : roundEven(parts[k] * PART);
    }
  }
  return { count, places, weights };
}

/** cv2.resize(image, None, fx=fx, fy=fy) with INTER_LINEAR (1) or INTER_CUBIC (2), of RGB or RGBA
 * bytes; gives RGB bytes. */
function resize({ data, width, height }, fx, fy, interpolation) {
  const step = data.length / (width * height);
  const wide = roundEven(width * fx), high = roundEven(height * fy);
  const out = new Uint8ClampedArray(wide * high * 3);
  if (interpolation === 1 && Math.abs(1 / fx - 2) < 1e-9 && Math.abs(1 / fy - 2) < 1e-9) {
    // OpenCV takes the mean where a side is halved.
    for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) for (let c = 0; c < 3; c++) {
      const at = (2 * y * width + 2 * x) * step + c, below = at + width * step;
      out[(y * wide + x) * 3 + c] = (data[at] + data[at + step] + data[below] + data[below + step] + 2) >> 2;
    }
    return { data: out, width: wide, height: high };
  }
  const across = taps(width, wide, 1 / fx, interpolation), down = taps(height, high, 1 / fy, interpolation);
  const count = across.count, rows = new Map();
  const row = y => {
    if (!rows.has(y)) {
      const found = new Float64Array(wide * 3);
      for (let x = 0; x < wide; x++) for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < count; k++) {
          sum += data[(y * width + across.places[x * count + k]) * step + c] * across.weights[x * count + k];
        }
        found[x * 3 + c] = sum;
      }
      rows.set(y, found);
    }
    return rows.get(y);
  };
  for (let y = 0; y < high; y++) {
    const lines = [], weights = [];
    for (let k = 0; k < count; k++) {
      lines.push(row(down.places[y * count + k]));
      weights.push(down.weights[y * count + k]);
    }
    for (const known of rows.keys()) if (known < down.places[y * count]) rows.delete(known);
    for (let x = 0; x < wide * 3; x++) {
      if (count === 2) {
        // In its vector code OpenCV drops four bits of a row, then sixteen of a product.
        const first = (weights[0] * (lines[0][x] >> 4)) >> 16, second = (weights[1] * (lines[1][x] >> 4)) >> 16;
        out[y * wide * 3 + x] = (first + second + 2) >> 2;
        continue;
      }
      let sum = 0;
      for (let k = 0; k < count; k++) sum += lines[k][x] * weights[k];
      out[y * wide * 3 + x] = roundEven(sum);
    }
  }
  return { data: out, width: wide, height: high };
}

/** The model's inputs of a picture, as detect.py's prepare() has them. */
function prepare(picture, steps) {
  let image = picture, scale = [1, 1];
  let mean = [0, 0, 0], deviation = [1, 1, 1], part = 1, padded = null;
  for (const step of steps) {
    if (step.type === "Resize") {
      const [high, wide] = step.target_size;
      scale = [high / image.height, wide / image.width];
      if (step.keep_ratio !== false) scale = scale.fill(Math.min(...scale));
      image = resize(image, scale[1], scale[0], step.interp ?? 1);
    } else if (step.type === "NormalizeImage") {
      if (step.is_scale !== false) part = Math.fround(1 / 255);
      if ((step.norm_type ?? "mean_std") === "mean_std") { mean = step.mean; deviation = step.std; }
    } else if (step.type === "PadStride") {
      const stride = step.stride || 1;
      padded = [Math.ceil(image.height / stride) * stride, Math.ceil(image.width / stride) * stride];
    }
  }
  const [high, wide] = padded ?? [image.height, image.width];
  const ready = new Float32Array(3 * high * wide), f = Math.fround;
  const bytes = image.data.length / (image.width * image.height);
  for (let c = 0; c < 3; c++) {
    const values = Float32Array.from({ length: 256 }, (_, value) =>
      f(f(f(value * part) - f(mean[c])) / f(deviation[c])));
    for (let y = 0; y < image.height; y++) for (let x = 0; x < image.width; x++) {
      ready[(c * high + y) * wide + x] = values[image.data[(y * image.width + x) * bytes + c]];
    }
  }
  return { image: ready, shape: [high, wide], scale };
}

function overlap([a, b, c, d], [e, f, g, h]) {
  const both = Math.max(Math.min(c, g) - Math.max(a, e), 0) * Math.max(Math.min(d, h) - Math.max(b, f), 0);
  return both / Math.max((c - a) * (d - b) + (g - e) * (h - f) - both, 1e-12);
}

/** Non-maximum suppression, each class for itself: rows of class, score, x1, y1, x2, y2, the highest
 * score first; `boxes` [N, 4] and `scores` [classes, N], flat, `scale` [y, x]. */
function suppress(boxes, scores, scale, nms) {
  const total = boxes.length / 4, found = [];
  const box = n => [0, 1, 2, 3].map(k => boxes[n * 4 + k] / scale[k % 2 ? 0 : 1]);
  for (let type = 0; type < scores.length / total; type++) {
    const score = n => scores[type * total + n];
    const order = [];
    for (let n = 0; n < total; n++) if (score(n) > nms.score_threshold) order.push(n);
    order.sort((one, other) => score(other) - score(one));
    const kept = [];
    for (const n of order.slice(0, nms.nms_top_k)) {
      const place = box(n);
      if (kept.every(other => overlap(other, place) <= nms.nms_threshold)) {
        kept.push(place);
        found.push([type, score(n), ...place]);
      }
    }
  }
  return found.sort((one, other) => other[1] - one[1]).slice(0, nms.keep_top_k);
}
