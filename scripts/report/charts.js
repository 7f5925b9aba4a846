"use strict";
// Charts as plain SVG. Methods differ in colour, dash and marker at once, so that no one needs to tell colours apart.
// Colours: Okabe and Ito's, without the yellow that white paper swallows.
const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C6BB1", "#A6761D", "#4D9221"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 2", "6 2 1 2"];
const MARKS = ["circle", "square", "triangle", "diamond", "cross", "down"];

function styles(names) {
  const found = {};
  let next = 0;
  const own = names.find((name) => name.split(" [")[0] === "gpnncam");  // of its variants the first
  for (const name of names) {
    const plain = name.split(" [")[0];
    if (name === own) found[name] = { colour: "#D55E00", dash: "", mark: "circle", width: 3 };
    else if (plain === "center" || plain === "random")
      found[name] = { colour: "#8A8A8A", dash: plain === "center" ? "2 4" : "1 6", mark: plain === "center" ? "cross" : "down", width: 1.6 };
    else {
      found[name] = { colour: COLOURS[next % 8], dash: DASHES[next % 8], mark: MARKS[(next + 1) % 6], width: 2 };
      next += 1;
    }
  }
  return found;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  for (const child of children) node.append(child);
  return node;
}

function marker(kind, x, y, r, colour) {
  const look = { fill: colour, stroke: "var(--paper)", "stroke-width": 1 };
  const shape = (points) => svg("path", { d: `M${points.map(([a, b]) => `${x + a * r},${y + b * r}`).join("L")}Z`, ...look });
  if (kind === "square") return svg("rect", { x: x - r * .85, y: y - r * .85, width: r * 1.7, height: r * 1.7, ...look });
  if (kind === "triangle") return shape([[0, -1.15], [1.1, .85], [-1.1, .85]]);
  if (kind === "down") return shape([[0, 1.15], [1.1, -.85], [-1.1, -.85]]);
  if (kind === "diamond") return shape([[0, -1.3], [1.2, 0], [0, 1.3], [-1.2, 0]]);
  if (kind === "cross")
    return svg("path", { d: `M${x - r},${y - r}L${x + r},${y + r}M${x - r},${y + r}L${x + r},${y - r}`, stroke: colour, "stroke-width": 2.2, fill: "none" });
  return svg("circle", { cx: x, cy: y, r, ...look });
}

const scale = (a, b, from, to) => (value) => from + ((value - a) / (b - a)) * (to - from);

// Round steps that cover [low, high].
function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 0.1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * unit).find((s) => s >= raw * 0.999);
  const found = [];
  for (let k = Math.floor(low / step); k * step < high + step * 0.999; k += 1) found.push(+(k * step).toFixed(10));
  return found;
}

// Moves labels apart that would overlap; places is [{y, ...}], changed in place.
function spread(places, gap, low, high) {
  places.sort((a, b) => a.y - b.y || (b.x ?? 0) - (a.x ?? 0));  // of equal ones the leftmost lowest: lines do not cross
  for (let i = 1; i < places.length; i += 1) places[i].y = Math.max(places[i].y, places[i - 1].y + gap);
  const over = places.length ? places[places.length - 1].y - high : 0;
  if (over > 0) {
    places[places.length - 1].y -= over;
    for (let i = places.length - 2; i >= 0; i -= 1) places[i].y = Math.min(places[i].y, places[i + 1].y - gap);
  }
}

const pen = document.createElement("canvas").getContext("2d");
function widthOf(text) {
  pen.font = `500 12px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

// A label no wider than `room`: its beginning, of which `share` is kept, and its end.
function shortened(text, room, share) {
  if (widthOf(text) <= room) return text;
  for (let kept = text.length - 1; kept > 4; kept -= 1) {
    const head = Math.ceil(kept * share), found = `${text.slice(0, head)}…${text.slice(text.length - (kept - head))}`;
    if (widthOf(found) <= room) return found;
  }
  return `${text.slice(0, 3)}…`;
}

// Labels by method, no wider than `room` and all different: variants of a method differ in the middle, too.
function shortTexts(methods, room) {
  const apart = (texts) => new Set(texts).size === texts.length;
  const tries = [0.55, 0.7, 0.85, 0.4, 0.25].map((share) => methods.map((m) => shortened(m.label, room, share)));
  const texts = tries.find(apart) ?? methods.map((m, i) => {
    if (tries[0].filter((t) => t === tries[0][i]).length === 1) return tries[0][i];
    const end = ` #${i + 1}`;
    return shortened(m.label, room - widthOf(end), 1) + end;
  });
  return Object.fromEntries(methods.map((m, i) => [m.name, texts[i]]));
}

// The column at the right in which labels stand one below the other: {room: its width in pixels, texts by method}.
function labelColumn(methods, width) {
  const room = Math.min(width < 480 ? 92 : 150, Math.ceil(Math.max(...methods.map((m) => widthOf(m.label)))));
  return { room, texts: shortTexts(methods, room) };
}

const LINE = 14;  // pixels from one label to the next
const CROWD = 10;  // methods: with more, a label beside its point stands among other methods' lines
const tall = (methods) => Math.max(340, methods.length * LINE + 60);  // so that every label has a place in the column

function frame(holder, width, height, label) {
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  holder.replaceChildren(root);
  return root;
}

function yAxis(root, y, values, left, right, text) {
  for (const value of values) {
    root.append(svg("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "grid" }));
    root.append(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, text(value)));
  }
}

const short = (seconds) => String(+seconds.toPrecision(2));
const percent = (value) => `${+(value * 100).toFixed(1)} %`;
const described = (methods, text) => methods.map((m) => `${m.label} ${text(m)}`).join(", ");

function curveChart(holder, view, methods, look, width) {
  const { room, texts } = labelColumn(methods, width);
  const height = tall(methods), left = 48, right = width - room - 30, top = 10, bottom = height - 40;
  const all = methods.flatMap((m) => m.curve);
  const steps = ticks(Math.min(...all), Math.min(1, Math.max(...all)));
  const x = scale(0, 50, left, right), y = scale(steps[0], steps[steps.length - 1], bottom, top);
  const root = frame(holder, width, height, `Accuracy over tolerance. At 15 px: ${described(methods, (m) => percent(m.curve[15]))}`);
  yAxis(root, y, steps, left, right, percent);
  for (let t = 0; t <= 50; t += 10) root.append(svg("text", { x: x(t), y: bottom + 18, "text-anchor": "middle" }, String(t)));
  root.append(svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, "tolerance, pixels of the original picture"));
  root.append(svg("line", { x1: x(15), x2: x(15), y1: top, y2: bottom, class: "axis", "stroke-dasharray": "1 3" }));
  root.append(svg("text", { x: x(15) + 4, y: bottom - 5 }, "15 px"));
  const labels = methods.map((m) => ({ m, y: y(m.curve[50]) + 4 }));
  spread(labels, LINE, top + 4, bottom);
  for (const { m, y: at } of labels) {
    const { colour, dash, mark, width: stroke } = look[m.name];
    const line = m.curve.map((value, t) => `${x(t)},${y(value)}`).join("L");
    const group = svg("g", { class: "series", "data-method": m.name });
    group.append(svg("path", { d: `M${line}`, fill: "none", stroke: colour, "stroke-width": stroke, "stroke-dasharray": dash, "stroke-linejoin": "round" }));
    for (const t of [0, 15, 30, 50]) group.append(marker(mark, x(t), y(m.curve[t]), 4, colour));
    group.append(svg("path", { d: `M${right + 6},${y(m.curve[50])}L${right + 22},${at - 4}h5`, stroke: colour, "stroke-width": .8, fill: "none" }));
    group.append(svg("text", { x: right + 29, y: at, class: "name strong" }, texts[m.name]));
    group.append(svg("title", {}, `${m.label}: ${percent(m.curve[0])} inside, ${percent(m.curve[15])} within 15 px`));
    root.append(group);
  }
}

// How a value of the view's score is written.
function inUnit(view) {
  if (view.unit === "share") return percent;
  return view.unit === "px" ? (v) => `${+v.toFixed(1)} px` : (v) => String(+v.toFixed(3));
}

// Mean curves of a measure with their intervals, one a method that has them.
function pathChart(holder, view, all, look, width) {
  const methods = all.filter((m) => m.path);
  if (!methods.length) { holder.replaceChildren("No method here has such a curve."); return; }
  const { room, texts } = labelColumn(methods, width);
  const height = tall(methods), left = 48, right = width - room - 30, top = 10, bottom = height - 40;
  // One picture alone has no interval, and its curve may leave everybody else's.
  const reached = methods.flatMap((m) => [...m.path.low, ...m.path.mean, ...m.path.high]).filter((v) => v !== null);
  const steps = ticks(Math.min(...reached), Math.max(...reached));
  const x = scale(0, 1, left, right), y = scale(steps[0], steps[steps.length - 1], bottom, top);
  const last = (m) => m.path.mean[m.path.mean.length - 1];
  const root = frame(holder, width, height, `${view.along}. At the end: ${described(methods, (m) => last(m).toFixed(3))}`);
  yAxis(root, y, steps, left, right, (v) => String(+v.toFixed(2)));
  for (const t of [0, 0.25, 0.5, 0.75, 1]) root.append(svg("text", { x: x(t), y: bottom + 18, "text-anchor": "middle" }, percent(t)));
  root.append(svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, view.along));
  const labels = methods.map((m) => ({ m, y: y(last(m)) + 4 }));
  spread(labels, LINE, top + 4, bottom);
  for (const { m, y: at } of labels) {
    const { colour, dash, mark, width: stroke } = look[m.name], { shares, mean, low: from, high: to } = m.path;
    const line = (values) => values.map((value, i) => `${x(shares[i])},${y(value)}`);
    const end = shares.length - 1;
    const group = svg("g", { class: "series", "data-method": m.name });
    if (![...from, ...to].includes(null)) group.append(svg("path", { d: `M${[...line(to), ...line(from).reverse()].join("L")}Z`, fill: colour, opacity: 0.12 }));
    group.append(svg("path", { d: `M${line(mean).join("L")}`, fill: "none", stroke: colour, "stroke-width": stroke, "stroke-dasharray": dash, "stroke-linejoin": "round" }));
    for (const i of new Set([0, Math.round(end / 3), Math.round(2 * end / 3), end])) group.append(marker(mark, x(shares[i]), y(mean[i]), 4, colour));
    group.append(svg("path", { d: `M${x(shares[end]) + 5},${y(mean[end])}L${right + 22},${at - 4}h5`, stroke: colour, "stroke-width": .8, fill: "none" }));
    group.append(svg("text", { x: right + 29, y: at, class: "name strong" }, texts[m.name]));
    group.append(svg("title", {}, `${m.label}: ${mean[0].toFixed(3)} to ${mean[end].toFixed(3)}`));
    root.append(group);
  }
}

function scatterChart(holder, view, methods, look, width) {
  const { room, texts } = labelColumn(methods, width);
  const height = tall(methods), left = 48, right = width - room - 18, top = 10, bottom = height - 40;
  const text = inUnit(view);
  const lows = methods.map((m) => m.low ?? m.value), highs = methods.map((m) => m.high ?? m.value);
  const steps = ticks(Math.min(...lows), Math.max(...highs));
  const seconds = methods.map((m) => Math.log10(Math.max(m.seconds, 1e-6)));
  const from = Math.floor(Math.min(...seconds)), to = Math.max(from + 1, Math.ceil(Math.max(...seconds) + 0.2));
  const x = scale(from, to, left + 12, right - 12), y = scale(steps[0], steps[steps.length - 1], bottom, top);
  const root = frame(holder, width, height, `Cost against result: ${described(methods, (m) => `${short(m.seconds)} s, ${text(m.value)}`)}`);
  yAxis(root, y, steps, left, right, text);
  const every = Math.ceil((to - from) / Math.max(2, Math.floor((right - left) / 60)));
  for (let k = from; k <= to; k += every) {
    const label = k >= 0 ? `${10 ** k} s` : k >= -3 ? `${+(10 ** k * 1000).toFixed(0)} ms` : `${+(10 ** k * 1e6).toFixed(0)} µs`;
    root.append(svg("line", { x1: x(k), x2: x(k), y1: bottom, y2: bottom + 4, class: "axis" }));
    root.append(svg("text", { x: x(k), y: bottom + 18, "text-anchor": "middle" }, label));
  }
  root.append(svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, "seconds per picture"));
  const places = methods.map((m, i) => ({ m, x: x(seconds[i]), y: y(m.value), low: y(m.low ?? m.value), high: y(m.high ?? m.value) }));
  const taken = places.map((p) => ({ x0: p.x - 6, x1: p.x + 6, y0: Math.min(p.high, p.y - 6), y1: Math.max(p.low, p.y + 6) }));
  const column = [];
  for (const p of places) {
    // Beside its point where there is room, else in the column at the right, at the end of a line.
    const wide = widthOf(texts[p.m.name]);
    const spots = [[10, 4], [-10 - wide, 4], [10, -9], [-10 - wide, -9], [10, 17], [-10 - wide, 17]];
    const box = ([dx, dy]) => ({ x0: p.x + dx - 2, x1: p.x + dx + wide + 2, y0: p.y + dy - 11, y1: p.y + dy + 3 });
    const free = (b) => b.x0 > left && b.x1 < right + 8 && b.y0 > top - 8 && b.y1 < bottom &&
      taken.every((o) => b.x1 < o.x0 || b.x0 > o.x1 || b.y1 < o.y0 || b.y0 > o.y1);
    p.spot = places.length > CROWD ? undefined : spots.find((spot) => free(box(spot)));
    if (p.spot) taken.push(box(p.spot));
    else column.push({ p, x: p.x, y: p.y + 4 });
  }
  spread(column, LINE, top + 4, bottom);
  for (const { p, y: at } of column) p.at = at;
  // Lines to the column lie under the labels that stand beside their points.
  for (const p of places.toSorted((a, b) => Boolean(a.spot) - Boolean(b.spot))) {
    const { m } = p, { colour, mark } = look[m.name];
    const group = svg("g", { class: "series", "data-method": m.name });
    if (m.low !== null) group.append(svg("line", { x1: p.x, x2: p.x, y1: p.low, y2: p.high, stroke: colour, "stroke-width": 2 }));
    if (!p.spot) group.append(svg("path", { d: `M${p.x},${p.y}L${right + 8},${p.at - 4}h6`, stroke: colour, "stroke-width": .8, "stroke-dasharray": "2 2", fill: "none" }));
    group.append(marker(mark, p.x, p.y, 6, colour));
    const [at, up] = p.spot ? [p.x + p.spot[0], p.y + p.spot[1]] : [right + 17, p.at];
    group.append(svg("text", { x: at, y: up, class: "name strong" }, texts[m.name]));
    const more = `${m.forwards} forward passes${m.memory === null ? "" : `, peak ${m.memory} MB`}`;
    group.append(svg("title", {}, `${m.label}: ${text(m.value)}, ${short(m.seconds)} s per picture, ${more}`));
    root.append(group);
  }
}

function classChart(holder, view, methods, look, width) {
  const { names, n, values } = view.classes;
  const row = 30, top = 30, left = Math.min(170, 30 + 7 * Math.max(...names.map((name, i) => `${name} ${n[i]}`.length)));
  const right = width - 20, bottom = top + names.length * row, height = bottom + 12;
  const text = inUnit(view);
  const all = methods.flatMap((m) => values[m.name].filter((v) => v !== null));
  const steps = view.unit === "share" ? [0, 0.25, 0.5, 0.75, 1] : ticks(Math.min(0, ...all), Math.max(0, ...all));
  const x = scale(steps[0], steps[steps.length - 1], left, right);
  const root = frame(holder, width, height, "Result of each method for each class");
  for (const value of steps) {
    root.append(svg("line", { x1: x(value), x2: x(value), y1: top - 8, y2: bottom - 8, class: "grid" }));
    root.append(svg("text", { x: x(value), y: 10, "text-anchor": "middle" }, text(value)));
  }
  names.forEach((name, i) => {
    const y = top + i * row + 4;
    const seen = methods.map((m) => values[m.name][i]).filter((v) => v !== null);
    root.append(svg("line", { x1: x(Math.min(...seen)), x2: x(Math.max(...seen)), y1: y, y2: y, class: "axis", "stroke-width": .8 }));
    const title = svg("text", { x: left - 12, y: y + 4, "text-anchor": "end", class: "strong" }, `${name} `);
    title.append(svg("tspan", { fill: "var(--soft)" }, String(n[i])));
    root.append(title);
  });
  methods.forEach((m, at) => {
    const group = svg("g", { class: "series", "data-method": m.name });
    const shift = (at - (methods.length - 1) / 2) * Math.min(3, 16 / methods.length);  // equal values stay apart
    names.forEach((name, i) => {
      const value = values[m.name][i];
      if (value === null) return;
      const dot = marker(look[m.name].mark, x(value), top + i * row + 4 + shift, look[m.name].width > 2 ? 6 : 4.6, look[m.name].colour);
      dot.append(svg("title", {}, `${name}, ${m.label}: ${text(value)}`));
      group.append(dot);
    });
    root.append(group);
  });
}

function costTable(table, view, methods) {
  const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const line = (tag, texts) => {
    const row = document.createElement("tr");
    row.append(...texts.map((text, i) => cell(i ? tag : "th", text)));
    return row;
  };
  const value = (m) => (view.unit === "px" ? `${m.text} px` : m.text);
  const count = (number) => (number === null ? "–" : number.toLocaleString("en"));
  const head = document.createElement("thead"), body = document.createElement("tbody");
  head.append(line("th", ["Per picture", "result", "seconds", "forward passes", "peak memory, MB"]));
  for (const m of methods) body.append(line("td", [m.label, value(m), short(m.seconds), count(m.forwards), count(m.memory)]));
  table.replaceChildren(head, body);
}
