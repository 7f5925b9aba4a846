// What the page shows (protocol, data, subset, methods), and the gallery's filter.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const unique = (list) => [...new Set(list)];
  const order = unique(data.views.flatMap((view) => view.methods.map((m) => m.name)));
  const look = styles(order);
  const labels = Object.fromEntries(data.views.flatMap((view) => view.methods.map((m) => [m.name, m.label])));
  const off = new Set();
  const several = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  if (!data.views.length) return;

  function fill(select, pairs, keep) {
    const before = keep ?? select.value;
    select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
    if (pairs.some(([value]) => value === before)) select.value = before;
  }

  const chosen = () => (document.querySelector("#subset input:checked") ?? {}).value;
  function view() {
    const fits = (v) => v.protocol === get("protocol").value && v.data === get("data-set").value;
    return data.views.find((v) => fits(v) && v.subset === chosen()) ?? data.views.find(fits);
  }

  function choices() {
    fill(get("protocol"), unique(data.views.map((v) => v.protocol)).map((p) => [p, p]));
    const here = data.views.filter((v) => v.protocol === get("protocol").value);
    fill(get("data-set"), unique(here.map((v) => v.data)).map((d) => [d, d]));
    const subsets = here.filter((v) => v.data === get("data-set").value).map((v) => v.subset);
    const before = subsets.includes(chosen()) ? chosen() : subsets[0];
    get("subset").querySelectorAll("label").forEach((old) => old.remove());
    for (const subset of subsets) {
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "subset", value: subset, checked: subset === before });
      const label = document.createElement("label");
      label.append(input, { all: " all", diff: " difficult only" }[subset] ?? ` ${subset}`);
      get("subset").append(label);
    }
  }

  function legend(now) {
    const texts = shortTexts(now.methods, 250);
    get("legend").replaceChildren(...now.methods.map((m) => {
      const { colour, dash, mark, width } = look[m.name];
      const swatch = svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" },
        svg("line", { x1: 0, x2: 28, y1: 6, y2: 6, stroke: colour, "stroke-width": width, "stroke-dasharray": dash }), marker(mark, 14, 6, 4, colour));
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.dataset.method = m.name;
      button.setAttribute("aria-pressed", String(!off.has(m.name)));
      button.append(swatch, Object.assign(document.createElement("span"), { textContent: texts[m.name] + (m.complete ? "" : " †"), title: m.label }));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
  }

  function light(name) {
    for (const chart of document.querySelectorAll("#curve, #scatter, #class-chart")) {
      chart.classList.toggle("dim", Boolean(name));
      chart.querySelectorAll(".series").forEach((s) => s.classList.toggle("lit", s.dataset.method === name));
    }
  }

  function charts() {
    const now = view();
    const methods = now.methods.filter((m) => !off.has(m.name));
    get("rule").textContent = `${now.data}, protocol ${now.protocol}: ${now.rule}. ${several(now.pairs, "pair")}.`;
    if (!methods.length) return;
    const room = (id) => Math.max(280, Math.round(get(id).clientWidth));
    if (get("curve")) (now.along ? pathChart : curveChart)(get("curve"), now, methods, look, room("curve"));
    scatterChart(get("scatter"), now, methods, look, room("scatter"));
    classChart(get("class-chart"), now, methods, look, room("class-chart"));
    costTable(get("cost"), now, methods);
    const { total, names } = now.classes;
    get("class-note").textContent = (names.length < total ? `The ${names.length} of ${total} classes in which the methods differ most` : "All classes") +
      ", the best on top; beside each name its number of pairs.";
  }

  function tile(url, size, boxes, answer, title) {
    const [width, height] = size, unit = Math.max(width, height) / 100;
    const figure = document.createElement("figure");
    figure.className = "tile";
    const frame = document.createElement("div");
    frame.className = "frame";
    const image = new Image();
    Object.assign(image, { src: url, alt: "", loading: "lazy", width, height });
    const over = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    for (const [x0, y0, x1, y1] of boxes)
      for (const [stroke, thick] of [["#000", 2.4], ["#fff", 1.2]])
        over.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, fill: "none", stroke, "stroke-width": thick * unit }));
    const caption = document.createElement("figcaption");
    caption.append(title);
    if (answer) {
      const colour = answer.hit === false ? "#ff7b1a" : "#2be0a7";
      for (const [stroke, thick] of [["#000", 3.6], [colour, 2]])
        over.append(svg("circle", { cx: answer.x + .5, cy: answer.y + .5, r: 4.4 * unit, fill: "none", stroke, "stroke-width": thick * unit }));
      if (answer.hit === false) {
        const r = 3 * unit, d = `M${answer.x - r},${answer.y - r}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`;
        over.append(svg("path", { d, stroke: "#000", "stroke-width": 2.6 * unit }), svg("path", { d, stroke: colour, "stroke-width": 1.4 * unit }));
      }
      const mark = document.createElement("span");
      mark.className = answer.hit === false ? "no" : "yes";
      mark.textContent = answer.hit === null ? `${+answer.distance.toFixed(1)} px` : answer.hit ? "✓ hit" : `✗ ${answer.distance ? `${Math.round(answer.distance)} px off` : "miss"}`;
      caption.append(mark);
    }
    frame.append(image, over);
    Object.assign(frame, { tabIndex: 0, role: "button", ariaLabel: `Enlarge: ${title}` });
    frame.addEventListener("click", () => {
      const large = get("large");
      large.replaceChildren(figure.cloneNode(true));
      large.showModal();
    });
    frame.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), frame.click()));
    figure.append(frame, caption);
    return figure;
  }

  function gallery() {
    if (!get("gallery")) return;
    const now = view(), hits = get("hits").value, misses = get("misses").value;
    const here = data.items.filter((i) => i.protocol === now.protocol && i.dataset === now.dataset && i.model === now.model && (now.subset !== "diff" || i.difficult));
    const answer = (item, name) => item.answers.find((a) => a.method === name);
    const fits = here.filter((i) => (!hits || answer(i, hits)?.hit === true) && (!misses || answer(i, misses)?.hit === false));
    get("filter").hidden = !here.length;
    get("shown").textContent = `${fits.length} of ${several(here.length, "pair")}`;
    get("pictures").replaceChildren(...fits.map((item) => {
      const article = document.createElement("article");
      article.className = "item";
      article.dataset.key = item.key;
      const head = document.createElement("h3");
      const small = document.createElement("small");
      small.textContent = ` in ${item.key}${item.difficult ? ", difficult" : ""}`;
      head.append(item.label, small);
      const tiles = document.createElement("div");
      tiles.className = "tiles";
      tiles.append(tile(data.images[item.image], item.size, item.boxes, null, "picture"));
      for (const a of item.answers) {
        if (off.has(a.method)) continue;
        const one = tile(data.images[a.image ?? item.image], item.size, item.boxes, a, labels[a.method]);
        one.dataset.method = a.method;
        one.dataset.hit = String(a.hit);
        tiles.append(one);
      }
      article.append(head, tiles);
      return article;
    }));
  }

  function redraw() {
    choices();
    const now = view();
    legend(now);
    if (get("gallery"))
      for (const id of ["hits", "misses"]) fill(get(id), [["", "any method"], ...now.methods.map((m) => [m.name, m.label])]);
    charts();
    gallery();
  }

  get("large")?.addEventListener("click", () => get("large").close());
  document.querySelectorAll("table.sortable").forEach(sortable);
  get("find")?.addEventListener("input", () => narrow(get("compared"), get("find").value));
  get("controls").hidden = false;
  document.querySelectorAll(".needs-script").forEach((section) => { section.hidden = false; });
  for (const id of ["protocol", "data-set", "subset"]) get(id).addEventListener("change", redraw);
  get("legend").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const name = button.dataset.method;
    if (!off.delete(name)) off.add(name);
    button.setAttribute("aria-pressed", String(!off.has(name)));
    light(null);
    charts();
    gallery();
  });
  for (const [on, name] of [["mouseover", true], ["focusin", true], ["mouseout", false], ["focusout", false]])
    get("legend").addEventListener(on, (event) => {
      const button = event.target.closest("button");
      light(name && button && !off.has(button.dataset.method) ? button.dataset.method : null);
    });
  if (get("gallery")) {
    for (const id of ["hits", "misses"]) get(id).addEventListener("change", gallery);
    get("swap").addEventListener("click", () => {
      [get("hits").value, get("misses").value] = [get("misses").value, get("hits").value];
      gallery();
    });
    get("clear").addEventListener("click", () => {
      get("hits").value = get("misses").value = "";
      gallery();
    });
  }
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) { width = window.innerWidth; charts(); }
  });
  redraw();
  tables(data.tables);
})();
