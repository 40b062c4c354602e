"use strict";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const lossless = JSON.parse($("pictures").textContent); // stacked pictures by number, as base64
const { layout, times, most, names } = data;
const { boxes, strip, block } = layout;
const [width, height] = data.size;
const count = data.frames.length;
const video = $("mp4").textContent ? $("video") : null;

const state = {
  frame: 0, exact: false, playing: false, // what is shown
  wipe: 0.5, held: false, right: "after", pixels: false,
  lens: null, zoom: 4, curve: data.curves.psnr ? "psnr" : "difference",
};
let target = 0; // the frame asked for last

const clamp = (value, least, greatest) => Math.min(Math.max(value, least), greatest);

function canvasOf(w, h, options) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [w, h];
  return canvas.getContext("2d", options);
}

// Frames: each is one stacked picture that holds all versions and, in its strip, its number.

const stacked = canvasOf(layout.width, layout.height);
const bits = canvasOf(strip.width / block, strip.height / block, { willReadFrequently: true });
bits.imageSmoothingEnabled = false;

function copy(image) {
  stacked.drawImage(image, 0, 0);
  const { width: w, height: h } = bits.canvas;
  bits.drawImage(stacked.canvas, strip.x, strip.y, strip.width, strip.height, 0, 0, w, h);
}

/** The number in the strip of what was copied: what is shown, whatever was asked for. */
function numberShown() {
  const { width: w, height: h } = bits.canvas;
  const pixels = bits.getImageData(0, 0, w, h).data;
  let number = 0;
  for (let bit = 0; bit < layout.bits; bit++) number = 2 * number + (pixels[4 * bit + 1] > 127);
  return number;
}

const decoded = new Map();

async function losslessPicture(number) {
  if (!decoded.has(number)) {
    const image = new Image();
    image.src = `data:image/webp;base64,${lossless[number]}`;
    await image.decode();
    decoded.set(number, image);
  }
  return decoded.get(number);
}

const middle = (number) => (times[number] + times[number + 1]) / 2;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function seek(number) {
  return new Promise((resolve, reject) => {
    video.addEventListener("seeked", resolve, { once: true });
    video.addEventListener("error", reject, { once: true });
    video.currentTime = middle(number);
  });
}

async function load(number) {
  if (number in lossless) {
    copy(await losslessPicture(number));
    return true;
  }
  if (!video || video.error) throw new Error("no video");
  await seek(number);
  copy(video);
  // Some browsers tell of the end of a seek before they show its picture.
  for (let tries = 0; numberShown() !== number && tries < 40; tries++) {
    await pause(25);
    copy(video);
  }
  return false;
}

let loading = false;

/** Show a frame; of several asked for meanwhile only the last. */
async function show(number) {
  target = clamp(number, 0, count - 1);
  if (state.playing) stop();
  if (loading) return;
  loading = true;
  try {
    for (let done = -1; done !== target; ) {
      done = target;
      const exact = await load(done);
      present(numberShown(), exact);
    }
  } catch {
    complain();
  } finally {
    loading = false;
  }
}

function complain() {
  target = state.frame;
  const left = Object.keys(lossless).map((number) => data.frames[number]).join(", ");
  $("message").textContent =
    `This browser does not play the page's video (H.264). Frames kept as pictures: ${left}.`;
  $("message").hidden = false;
}

// Playing.

const onNextVideoFrame = (follow) =>
  video.requestVideoFrameCallback ? video.requestVideoFrameCallback(follow) : requestAnimationFrame(follow);

function follow() {
  if (!state.playing) return;
  copy(video);
  target = numberShown();
  present(target, false);
  onNextVideoFrame(follow);
}

async function turnPictures() {
  while (state.playing) {
    const begin = performance.now();
    const next = (state.frame + 1) % count;
    const exact = await load(next);
    const seconds = (times[state.frame + 1] - times[state.frame]) / $("speed").value;
    await pause(1000 * seconds - (performance.now() - begin));
    if (state.playing) present((target = next), exact);
  }
}

async function play() {
  state.playing = true;
  if (video) {
    video.playbackRate = $("speed").value;
    video.currentTime = middle(state.frame === count - 1 ? 0 : state.frame);
    try {
      await video.play();
      onNextVideoFrame(follow);
    } catch {
      stop();
      complain();
    }
  } else {
    turnPictures();
  }
  update();
}

function stop() {
  state.playing = false;
  if (video) video.pause();
  update();
}

const toggle = () => (state.playing ? show(state.frame) : play());

// Drawing. A version is painted from its place in the stacked picture, pixel by pixel.

const picture = $("picture");
[picture.width, picture.height] = [width, height];
const context = picture.getContext("2d");

/** Paint the part (x, y, w, h) of a version into the whole height of a part of `onto`. */
function paint(onto, version, x, y, w, h, toX, toY, toW, toH) {
  const box = version === "before" && state.pixels ? boxes.lr : boxes[version];
  const [across, down] = [box.width / width, box.height / height];
  onto.imageSmoothingEnabled = false;
  onto.drawImage(stacked.canvas, box.x + x * across, box.y + y * down, w * across, h * down, toX, toY, toW, toH);
}

const cut = () => (state.held ? width : Math.round(state.wipe * width));

function draw() {
  const at = cut();
  if (at > 0) paint(context, "before", 0, 0, at, height, 0, 0, at, height);
  if (at < width) paint(context, state.right, at, 0, width - at, height, at, 0, width - at, height);
  if (state.lens) drawPanes();
}

const versions = ["before", "after", ...(boxes.truth ? ["truth"] : [])];
const panes = {};
for (const version of versions) {
  const figure = document.createElement("figure");
  figure.innerHTML = `<figcaption><b class="${version}-ink">${version}</b><span></span></figcaption><canvas role="img"></canvas>`;
  $("panes").append(figure);
  const canvas = figure.querySelector("canvas");
  canvas.setAttribute("aria-label", `${version}, magnified`);
  panes[version] = { context: canvas.getContext("2d", { willReadFrequently: true }), colour: figure.querySelector("span") };
}

function paneSide() {
  const sideBySide = matchMedia("(max-width: 900px)").matches;
  if (!sideBySide) return versions.length > 2 ? 160 : 240;
  return Math.floor((Math.min(document.body.clientWidth, 640) - 44 - 10 * (versions.length - 1)) / versions.length);
}

/** The square of the picture under the loupe. */
function square() {
  const side = clamp(Math.floor(paneSide() / state.zoom), 1, Math.min(width, height));
  const x = clamp(Math.round(state.lens.x - side / 2), 0, width - side);
  const y = clamp(Math.round(state.lens.y - side / 2), 0, height - side);
  return { x, y, side };
}

function drawPanes() {
  const { x, y, side } = square();
  const across = picture.clientWidth / width, down = picture.clientHeight / height;
  Object.assign($("lens").style, {
    left: `${x * across}px`, top: `${y * down}px`, width: `${side * across}px`, height: `${side * down}px`,
  });
  $("loupe").style.setProperty("--side", `${paneSide()}px`);
  const dots = state.zoom * Math.max(1, Math.round(devicePixelRatio));
  for (const version of versions) {
    const { context: pane, colour } = panes[version];
    if (pane.canvas.width !== side * dots) pane.canvas.width = pane.canvas.height = side * dots;
    pane.canvas.style.width = pane.canvas.style.height = `${side * state.zoom}px`;
    paint(pane, version, x, y, side, side, 0, 0, side * dots, side * dots);
    const centre = (Math.floor(side / 2) + 0.5) * dots;
    colour.textContent = [...pane.getImageData(centre, centre, 1, 1).data.slice(0, 3)].join(" ");
    colour.title = "Red, green and blue of the pixel in the middle";
  }
}

// What is written around the picture.

function present(number, exact) {
  state.frame = number;
  state.exact = exact;
  draw();
  update();
}

const decimals = (value, digits) => (value === null ? "∞" : value.toFixed(digits));
const seconds = (number) => (data.begin + times[number]).toFixed(3);

function update() {
  const { frame } = state;
  const percent = (100 * cut()) / width;
  $("wipe").style.left = `${percent}%`;
  $("wipe").setAttribute("aria-valuenow", Math.round(percent));
  $("left-tag").textContent = boxes.lr ? `before · ${state.pixels ? "its pixels" : "bicubic"}` : "before";
  $("right-tag").textContent = state.right;
  picture.dataset.frame = frame;
  picture.dataset.exact = state.exact;
  picture.setAttribute("aria-label", `Frame ${data.frames[frame]}: before to the left of the wipe, ${state.right} to the right`);
  const last = data.frames[count - 1];
  $("frame").textContent = `frame ${data.frames[frame]} of ${data.frames[0]}–${last}` + (data.timed ? ` · ${seconds(frame)} s` : "");
  $("play").classList.toggle("playing", state.playing);
  $("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  $("time").value = frame;
  $("time").setAttribute("aria-valuetext", $("frame").textContent);
  $("playhead").style.setProperty("--at", count > 1 ? frame / (count - 1) : 0);
  const rank = most.indexOf(frame);
  $("rank").textContent = rank < 0 ? "" : `${rank + 1}/${most.length}`;
  $("values").innerHTML = $("values-still").innerHTML = values(state.curve, frame);
  $("zoom").textContent = `${state.zoom}×`;
  $("fidelity").textContent = state.exact || data.fidelity === null
    ? "Exact pixels: this frame is kept lossless."
    : `Pixels of the page's video, ${data.fidelity.toFixed(1)} dB from the exact ones.`;
  for (const [id, on] of [["nearest", state.pixels], ["truth", state.right === "truth"], ["magnify", state.lens]]) {
    $(id).setAttribute("aria-pressed", Boolean(on));
  }
}

// Curves.

const kinds = {
  difference: { name: "Difference", digits: 2, unit: "of 255" },
  psnr: { name: "PSNR", digits: 2, unit: "dB" },
  ssim: { name: "SSIM", digits: 4, unit: "" },
};
const series = (kind) => (kind === "difference" ? { ink: data.curves.difference } : data.curves[kind]);

function values(kind, frame) {
  const { digits, unit } = kinds[kind];
  if (kind === "difference") return `<span>mean ${decimals(data.curves.difference[frame], digits)} ${unit}</span>`;
  const { before, after } = data.curves[kind];
  const pair = (a, b) => {
    const gain = a === null || b === null ? "" : ` (${b < a ? "−" : "+"}${Math.abs(b - a).toFixed(digits)})`;
    return `<b class="before-ink">${decimals(a, digits)}</b> → <b class="after-ink">${decimals(b, digits)}</b> ${unit}${gain}`;
  };
  const mean = (all) => (all.includes(null) ? null : all.reduce((sum, value) => sum + value, 0) / all.length);
  const all = count > 1 ? `<span>all frames ${pair(mean(before), mean(after))}</span>` : "";
  return `<span>${kinds[kind].name} ${pair(before[frame], after[frame])}</span>${all}`;
}

function plot() {
  const lines = series(state.curve);
  const finite = Object.values(lines).flat().filter((value) => value !== null);
  let [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  if (high === low) high = low + 1;
  const x = (i) => (1000 * i) / Math.max(1, count - 1);
  const y = (value) => 92 - 84 * (value === null ? 1 : (value - low) / (high - low));
  let paths = '<path class="base" d="M0 100H1000"/>';
  for (const [name, line] of Object.entries(lines)) {
    const d = line.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(2)} ${y(value).toFixed(2)}`).join("");
    const colour = name === "ink" ? "var(--ink)" : `var(--${name})`;
    if (name === "ink") paths += `<path class="area" fill="${colour}" d="${d}V100H0Z"/>`;
    paths += `<path stroke="${colour}" d="${d}"/>`;
  }
  $("plot").innerHTML = paths;
  const marked = lines.ink ?? lines.after;
  $("marks").innerHTML = most.map((i) => `<i style="left:${x(i) / 10}%;top:${y(marked[i])}%"></i>`).join("");
  const { digits, unit } = kinds[state.curve];
  $("top").textContent = `${high.toFixed(digits)} ${state.curve === "psnr" ? unit : ""}`;
  $("bottom").textContent = low.toFixed(digits);
  for (const button of $("curves").children) button.setAttribute("aria-pressed", button.value === state.curve);
}

function chooseCurve(kind) {
  state.curve = kind;
  plot();
  update();
}

// What can be done.

function change(changes) {
  Object.assign(state, changes);
  draw();
  update();
}

function differ(step) {
  const rank = most.indexOf(target);
  show(most[rank < 0 ? (step > 0 ? 0 : most.length - 1) : (rank + step + most.length) % most.length]);
}

const zooms = [1, 2, 3, 4, 6, 8];

function magnify(step) {
  const place = clamp(zooms.indexOf(state.zoom) + step, 0, zooms.length - 1);
  change({ zoom: zooms[place] });
}

function lens(on = !state.lens) {
  $("loupe").hidden = $("lens").hidden = !on;
  $("stage").classList.toggle("lens", on);
  change({ lens: on ? { x: data.detail[0], y: data.detail[1] } : null });
}

const actions = {
  back: () => show(target - 1),
  forward: () => show(target + 1),
  play: toggle,
  most: (event) => differ(event.shiftKey ? -1 : 1),
  nearest: () => boxes.lr && change({ pixels: !state.pixels }),
  truth: () => boxes.truth && change({ right: state.right === "truth" ? "after" : "truth" }),
  magnify: () => lens(),
  smaller: () => magnify(-1),
  larger: () => magnify(1),
};
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
$("time").addEventListener("input", () => show(Number($("time").value)));
$("speed").addEventListener("change", () => video && (video.playbackRate = $("speed").value));

const keys = {
  ArrowLeft: (event) => (event.shiftKey ? change({ wipe: clamp(state.wipe - 0.02, 0, 1) }) : show(target - 1)),
  ArrowRight: (event) => (event.shiftKey ? change({ wipe: clamp(state.wipe + 0.02, 0, 1) }) : show(target + 1)),
  Home: () => show(0),
  End: () => show(count - 1),
  " ": toggle,
  d: (event) => differ(event.shiftKey ? -1 : 1),
  n: actions.nearest,
  t: actions.truth,
  l: actions.magnify,
  b: () => state.held || change({ held: true }),
  c: () => {
    const all = Object.keys(data.curves);
    chooseCurve(all[(all.indexOf(state.curve) + 1) % all.length]);
  },
  "+": actions.larger,
  "=": actions.larger,
  "-": actions.smaller,
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target: element } = event;
  if (element.matches("select") || (event.key === " " && element.matches("button, summary"))) return;
  const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  if (!(key in keys)) return;
  event.preventDefault();
  keys[key](event);
});
addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && change({ held: false }));
addEventListener("blur", () => state.held && change({ held: false }));

/** Let arrow keys do something else while an element has the focus. */
function onArrows(element, move) {
  element.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const end = { Home: 0, End: 1 }[event.key];
    if (!step && end === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(step, end, event.shiftKey ? 10 : 1);
  });
}
onArrows($("wipe"), (step, end, times) =>
  change({ wipe: step ? clamp(state.wipe + 0.01 * times * (step[0] - step[1]), 0, 1) : end }));
onArrows($("lens"), (step, _, times) => step && change({
  lens: { x: clamp(state.lens.x + times * step[0], 0, width), y: clamp(state.lens.y + times * step[1], 0, height) },
}));

function place(event) {
  const { left, top, width: w, height: h } = picture.getBoundingClientRect();
  return { x: clamp((event.clientX - left) / w, 0, 1), y: clamp((event.clientY - top) / h, 0, 1) };
}

const stage = $("stage");
stage.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const wipes = !state.lens || $("wipe").contains(event.target);
  const move = (moved) => {
    const { x, y } = place(moved);
    change(wipes ? { wipe: x } : { lens: { x: x * width, y: y * height } });
  };
  const end = () => {
    stage.removeEventListener("pointermove", move);
    stage.classList.remove("dragged");
  };
  stage.setPointerCapture(event.pointerId);
  stage.classList.add("dragged");
  move(event);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", end, { once: true });
  stage.addEventListener("pointercancel", end, { once: true });
});
stage.addEventListener("pointermove", (event) => {
  if (!state.lens || event.pointerType !== "mouse" || event.buttons || $("wipe").contains(event.target)) return;
  const { x, y } = place(event);
  change({ lens: { x: x * width, y: y * height } });
});
stage.addEventListener("mousedown", (event) => event.preventDefault()); // arrow keys go on stepping
addEventListener("resize", draw);

// The beginning.

function describe() {
  const name = (version) => `<span class="${version}"></span>`;
  $("heading").innerHTML = `${name("before")}<i>→</i>${name("after")}${names.truth ? `<i>truth</i>${name("truth")}` : ""}`;
  for (const version of versions) $("heading").querySelector(`.${version}`).textContent = names[version];
  const size = (version) => data.sizes[version].join("×");
  const facts = [size("before") === size("after") ? size("after") : `${size("before")} → ${size("after")}`];
  if (count > 1) facts.push(`${count} frames`);
  if (count > 1 && data.timed) facts.push(`${times[count].toFixed(2)} s`, `${+data.rate.toFixed(3)} fps`);
  $("facts").textContent = facts.join(" · ");
  for (const notice of data.notices) {
    const item = document.createElement("li");
    item.textContent = notice;
    $("notices").append(item);
  }
  $("notices").hidden = !data.notices.length;
  $("made").textContent = `Made with vsrdb compare ${data.version}.` + (data.curves.psnr ? " PSNR and SSIM of RGB against the truth, 4 pixels cut on each side." : " Difference: mean of |after − before| over all pixels and colours.");
}

function begin() {
  describe();
  stage.style.aspectRatio = data.aspect;
  stage.style.width = `min(100%, calc(70vh * ${data.aspect}), ${Math.max(2 * width, 480)}px)`;
  $("nearest").hidden = !boxes.lr;
  $("truth").hidden = !boxes.truth;
  for (const element of document.querySelectorAll(".lr")) element.hidden = !boxes.lr;
  for (const element of document.querySelectorAll(".true")) element.hidden = !boxes.truth;
  for (const element of document.querySelectorAll(".timed")) element.hidden = count < 2;
  $("values-still").hidden = count > 1;
  $("time").max = count - 1;
  for (const kind of ["difference", "psnr", "ssim"].filter((kind) => kind in data.curves)) {
    const button = document.createElement("button");
    [button.textContent, button.value] = [kinds[kind].name, kind];
    button.addEventListener("click", () => chooseCurve(kind));
    $("curves").append(button);
  }
  plot();
  update();
  if (video) {
    const bytes = Uint8Array.from(atob($("mp4").textContent), (letter) => letter.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
    video.addEventListener("loadeddata", () => show(0), { once: true });
    video.addEventListener("error", () => show(most[0]), { once: true });
  } else {
    show(0);
  }
}

begin();
