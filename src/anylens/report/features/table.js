"use strict";
// The index: rows sorted and searched in memory, drawn some at a time as they come into sight.
anylens.table = (index, samples, show) => {
  const STEP = 40;
  const CLEAR = 0.1; // what a feature finds is set in grey if it is no further than this above the control
  const HEADS = [
    ["number", "feature", (v) => v],
    ["density", "density", (v) => `${(100 * v).toPrecision(2)}%`],
    ["top", "strongest", (v) => v.toPrecision(3)],
    ["mean", "mean", (v) => v.toPrecision(3)],
    ["effect", "effect", (v) => v.toFixed(3)],
    ["auroc", "AUROC", (v) => v.toFixed(3)],
    ["control", "shuffled", (v) => v.toFixed(3)],
  ].filter(([column]) => index.rows.some((row) => row[index.columns.indexOf(column)] !== null));
  const at = Object.fromEntries(index.columns.map((name, place) => [name, place]));
  const factor = index.columns.length;
  const hasFactor = index.rows.some((row) => row[factor]);
  index.rows.forEach((row, rank) => { row.rank = rank; row.words = `${row[0]} ${row[factor]} ${row[factor + 1]}`.toLowerCase(); });

  const body = document.getElementById("rows");
  const more = document.getElementById("more");
  const search = document.getElementById("search");
  const inactive = document.getElementById("inactive");
  let sort = { column: "density", down: true };
  let rows = [];
  let drawn = 0;

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      thumbs(entry.target).catch((error) => { entry.target.textContent = error.message; });
    }
  }, { rootMargin: "200px" });
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting) draw(); }, { rootMargin: "400px" }).observe(more);

  async function thumbs(element) {
    const held = await anylens.chunk(`thumbs-${Math.floor(element.dataset.rank / index.sizes.thumbs)}`);
    const { top, strongest } = held[element.dataset.number];
    for (const example of strongest) {
      const thumb = document.createElement("div");
      thumb.className = "thumb";
      element.append(thumb);
      await samples.draw(thumb, example, top);
    }
  }

  function cell(name, text, kind = "td") {
    const made = document.createElement(kind);
    made.className = name;
    made.textContent = text;
    return made;
  }

  function drawRow(row) {
    const line = document.createElement("tr");
    if (hasFactor && row[at.auroc] - row[at.control] < CLEAR) line.className = "weak";
    for (const [column, , shown] of HEADS) {
      const value = row[at[column]];
      if (column !== "number") { line.append(cell(column, value === null ? "" : shown(value))); continue; }
      const head = cell(column, "", "th");
      head.scope = "row";
      const link = document.createElement("a");
      link.href = `#/feature/${value}`;
      link.textContent = value;
      link.setAttribute("aria-label", `feature ${value}`);
      head.append(link);
      line.append(head);
    }
    if (hasFactor) line.append(cell("factor", row[factor]));
    const thumbs = cell("thumbs", "");
    Object.assign(thumbs.dataset, { number: row[0], rank: row.rank });
    seen.observe(thumbs);
    line.append(thumbs);
    line.addEventListener("click", (event) => { if (!event.target.closest("a, button, audio")) show(row[0]); });
    return line;
  }

  function draw() {
    body.append(...rows.slice(drawn, drawn + STEP).map(drawRow));
    drawn = Math.min(rows.length, drawn + STEP);
    more.textContent = drawn < rows.length ? `${rows.length - drawn} more below` : "";
  }

  function refresh() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const place = at[sort.column] ?? factor;
    const sign = sort.down ? -1 : 1;
    const empty = (value) => value === null || value === "";
    const fits = (row, word) => (/^\d+$/.test(word) ? String(row[0]).startsWith(word) : row.words.includes(word));
    rows = index.rows.filter((row) => (inactive.checked || row[at.top] > 0) && words.every((word) => fits(row, word)));
    rows.sort((a, b) => empty(a[place]) - empty(b[place]) || sign * (a[place] > b[place] ? 1 : a[place] < b[place] ? -1 : 0) || a.rank - b.rank);
    body.replaceChildren();
    drawn = 0;
    draw();
    document.getElementById("count").textContent = `${rows.length.toLocaleString("en")} features`;
    for (const head of document.querySelectorAll("#heads [data-column]")) {
      head.setAttribute("aria-sort", head.dataset.column !== sort.column ? "none" : sort.down ? "descending" : "ascending");
    }
  }

  function heads() {
    const listed = HEADS.map(([column, title]) => [column, title]);
    if (hasFactor) listed.push(["factor", "finds"]);
    for (const [column, title] of listed) {
      const head = cell(column, "", "th");
      head.scope = "col";
      head.dataset.column = column;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.addEventListener("click", () => {
        const words = column === "number" || column === "factor";
        sort = { column, down: sort.column === column ? !sort.down : !words };
        refresh();
      });
      head.append(button);
      document.getElementById("heads").append(head);
    }
    const last = cell("thumbs", "strongest examples", "th");
    last.scope = "col";
    document.getElementById("heads").append(last);
  }

  heads();
  search.addEventListener("input", refresh);
  inactive.addEventListener("change", refresh);
  search.form.addEventListener("submit", (event) => { event.preventDefault(); body.querySelector("a")?.focus(); });
  refresh();
  return { rows: () => rows, rank: (number) => index.rows.find((row) => row[0] === number)?.rank };
};
