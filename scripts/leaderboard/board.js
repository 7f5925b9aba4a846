// Tables that are sorted by their heads and filtered; without JavaScript they are read as they are.
(() => {
  const number = (text) => parseFloat(text.replace("−", "-").replaceAll(",", ""));
  const text = (row, at) => (row.cells[at].dataset.by ?? row.cells[at].firstChild?.textContent ?? "").trim();
  const boards = [...document.querySelectorAll("table.board")];
  for (const table of boards) {
    const body = table.tBodies[0], rows = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const known = rows.map((row, place) => ({ row, place, key: text(row, at) }));
        const numeric = known.some(({ key }) => !Number.isNaN(number(key))) && at !== 0;
        const value = ({ key }) => (numeric ? number(key) : key);
        known.sort((a, b) => {
          const [x, y] = [value(a), value(b)], empty = (v) => v === "" || Number.isNaN(v);
          if (empty(x) || empty(y)) return empty(x) - empty(y) || a.place - b.place;
          return ((numeric ? x - y : x.localeCompare(y)) || a.place - b.place) * (down ? -1 : 1);
        });
        body.append(...known.map(({ row }) => row));
      });
    });
  }
  const filters = document.querySelector(".filters");
  const [words, clean, checked, status] = ["words", "clean", "checked"].map((name) => filters.querySelector(`.${name}`)).concat(filters.querySelector("output"));
  function filter() {
    let shown = 0, all = 0;
    const wanted = words.value.toLowerCase();
    for (const table of boards)
      for (const row of table.tBodies[0].rows) {
        const fits = row.cells[0].textContent.toLowerCase().includes(wanted) && !(clean.checked && row.dataset.looked === "same") && !(checked.checked && !["rerun", "fully"].includes(row.dataset.kind));
        row.hidden = !fits;
        shown += fits;
        all += 1;
      }
    status.textContent = shown === all ? "" : `${shown} of ${all} lines`;
  }
  for (const each of [words, clean, checked]) each.addEventListener("input", filter);
  filters.hidden = false;
})();
