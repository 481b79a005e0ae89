// The model in this page, opened at the first picture.
"use strict";

/** Bytes of an element that holds them gzipped, in base64. */
async function unpacked(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

let opened = null;
async function openModel() {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const runtime = URL.createObjectURL(new Blob([await unpacked("runtime")], { type: "text/javascript" }));
  const ort = await import(runtime);
  // Several threads need a page that a server sends with headers of its own.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  const session = await ort.InferenceSession.create(await unpacked("model"));
  return { ort, session, settings };
}

/** A picture's pixels, turned as its EXIF tag says, in the numbers that its file has. */
async function pixelsOf(blob) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const picture = await createImageBitmap(blob, options).catch(() => {
    throw new Error("no_picture");
  });
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0);
  return pen.getImageData(0, 0, picture.width, picture.height);
}

/** Boxes in a picture, its width and height, and the milliseconds of preparing and of running. */
async function findBoxes(blob) {
  opened ??= openModel();
  const { ort, session, settings } = await opened;
  const pixels = await pixelsOf(blob);
  const begun = performance.now();
  const { image, shape, scale } = prepare(pixels, settings.steps);
  const known = {
    image: () => new ort.Tensor("float32", image, [1, 3, ...shape]),
    scale_factor: () => new ort.Tensor("float32", scale, [1, 2]),
    im_shape: () => new ort.Tensor("float32", shape, [1, 2]),
  };
  const inputs = Object.fromEntries(session.inputNames.map(name => [name, known[name]()]));
  const outputs = await session.run(inputs);
  const [boxes, scores] = session.outputNames.map(name => outputs[name].data);
  const ran = performance.now();
  if (![boxes, scores].every(values => values.every(Number.isFinite))) throw new Error("not_finite");
  const rows = suppress(boxes, scores, scale, settings.nms);
  return {
    width: pixels.width, height: pixels.height, milliseconds: Math.round(ran - begun),
    boxes: rows.map(([type, score, ...box]) => ({ class: settings.classes[type], score, box })),
  };
}
