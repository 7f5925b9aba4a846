// Tables: copied as CSV or LaTeX, and a word where a part of one lies beyond the edge.
function copyRow(texts) {
  const row = document.createElement("p"), status = document.createElement("output");
  row.className = "copies";
  status.setAttribute("aria-live", "polite");
  for (const [name, text] of Object.entries(texts)) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `Copy as ${name}` });
    button.addEventListener("click", async () => {
      status.textContent = (await copied(text())) ? `${name} copied` : "the browser does not let pages copy";
    });
    row.append(button);
  }
  row.append(status);
  return row;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");  // for pages that are no secure context
    area.remove();
    return done;
  }
}

const linesOf = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csvOf = (table) => linesOf(table).map((line) => `${line.map(quoted).join(",")}\n`).join("");
const tex = (text) => text.replace(/[\\&%$#_{}~^]/g, (c) => ({ "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" })[c] ?? `\\${c}`).replace("–", "--");
function latexOf(table) {
  const [head, ...body] = linesOf(table).map((line) => `${line.map(tex).join(" & ")} \\\\`);
  const columns = `l${"r".repeat(table.rows[0].cells.length - 1)}`;
  return ["\\begin{tabular}{" + columns + "}", "\\toprule", head, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}", ""].join("\n");
}

function tables(texts) {
  document.querySelectorAll("figure.sheet").forEach((sheet, i) => {
    if (texts[i]) sheet.append(copyRow({ CSV: () => texts[i].csv, LaTeX: () => texts[i].latex }));
  });
  const cost = document.getElementById("cost");
  cost.closest(".scroll").after(copyRow({ CSV: () => csvOf(cost), LaTeX: () => latexOf(cost) }));
  for (const frame of document.querySelectorAll(".scroll")) {
    const title = frame.closest("figure")?.querySelector("h3")?.textContent ??
      (frame.querySelector("#cost") ? "Cost of each method" : frame.closest("section").querySelector("h2").textContent);
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", title);
    const hint = Object.assign(document.createElement("p"), { className: "swipe", textContent: "more columns to the right →" });
    frame.before(hint);
    const look = () => {
      const left = frame.scrollWidth - frame.clientWidth - frame.scrollLeft;
      frame.classList.toggle("more", left > 2);
      hint.hidden = frame.scrollWidth <= frame.clientWidth + 2;
      if (frame.scrollWidth > frame.clientWidth + 2) frame.tabIndex = 0;  // the arrow keys scroll what has the focus
      else frame.removeAttribute("tabindex");
    };
    frame.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(frame);
    new ResizeObserver(look).observe(frame.querySelector("table"));
  }
}

// A press on a column's name sorts by it, from the highest; again, from the lowest. Lines without a value stay last.
function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.ariaSort !== "descending", body = table.tBodies[0];
      const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
      const known = [...body.rows].filter((row) => value(row) !== "" && value(row) !== "nan");
      const number = known.every((row) => Number.isFinite(+value(row)));
      known.sort((a, b) => (number ? +value(a) - +value(b) : value(b).localeCompare(value(a))) * (down ? -1 : 1));
      body.append(...known, ...[...body.rows].filter((row) => !known.includes(row)));
      for (const other of table.tHead.rows[0].cells) other.ariaSort = other === head ? (down ? "descending" : "ascending") : null;
    });
  });
}

function narrow(table, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of table.tBodies[0].rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
}
