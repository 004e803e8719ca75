"use strict";
// A head is chosen among all, then a position on either side; the other side shows its weights.
anylens.chunk("attention").then(({ patterns, sides }) => {
  const at = { pattern: patterns.length - 1, head: 0, step: 0, side: "queries", position: 0 };
  const last = patterns[at.pattern];
  if (sides[last.queries].kind === "text") at.position = Math.floor(last.shape[2] / 2);
  const place = { queries: document.getElementById("queries"), keys: document.getElementById("keys") };
  const other = { queries: "keys", keys: "queries" };
  const slider = document.getElementById("step");
  const drawn = { queries: null, keys: null };

  for (const one of patterns) {
    const bytes = Uint8Array.from(atob(one.weights), (letter) => letter.charCodeAt(0));
    const [, heads, queries, keys] = one.shape;
    one.weight = (step, head, query, key) => (bytes[((step * heads + head) * queries + query) * keys + key] / 255) ** 2;
  }

  // The weights between the chosen position and every one of the other side.
  function weights() {
    const { weight, shape } = patterns[at.pattern];
    const count = shape[at.side === "queries" ? 3 : 2];
    return Array.from({ length: count }, (_, p) => (at.side === "queries"
      ? weight(at.step, at.head, at.position, p) : weight(at.step, at.head, p, at.position)));
  }

  function label(side, position) {
    return sides[patterns[at.pattern][side]].labels[position];
  }

  function lay(side) {
    const number = patterns[at.pattern][side];
    if (drawn[side] === number) return;
    drawn[side] = number;
    anylens.fill(place[side], sides[number].html);
    anylens.sounds(place[side]);
    const marks = [...place[side].querySelectorAll("[data-p]")];
    const first = marks[0];
    for (const one of marks) {
      one.setAttribute("role", "button");
      one.tabIndex = one === first ? 0 : -1;
      one.setAttribute("aria-label", sides[number].labels[one.dataset.p]);
      one.addEventListener("click", (event) => { event.stopPropagation(); choose(side, Number(one.dataset.p)); });
      one.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Enter" || event.key === " ") choose(side, Number(one.dataset.p));
        else if (by) marks.find((mark) => Number(mark.dataset.p) === Number(one.dataset.p) + by)?.focus();
        else return;
        event.preventDefault();
      });
    }
  }

  function choose(side, position) {
    Object.assign(at, { side, position });
    show();
  }

  function show() {
    const pattern = patterns[at.pattern];
    document.getElementById("name").textContent = `${pattern.name}, head ${at.head}`;
    slider.hidden = pattern.shape[0] < 2;
    slider.querySelector("input").max = pattern.shape[0] - 1;
    slider.querySelector("output").textContent = `${at.step} of ${pattern.shape[0]}`;
    lay("queries");
    lay("keys");
    const values = weights();
    const top = Math.max(...values, 1e-9);
    for (const one of place[at.side].querySelectorAll("[data-p]")) {
      one.style.removeProperty("--v");
      one.classList.remove("al-best");
      one.classList.toggle("chosen", Number(one.dataset.p) === at.position);
    }
    for (const one of place[other[at.side]].querySelectorAll("[data-p]")) {
      const value = values[one.dataset.p];
      one.style.setProperty("--v", value / top);
      one.classList.remove("chosen");
      one.classList.toggle("al-best", value === top);
      const said = `${label(other[at.side], one.dataset.p)}: ${value.toFixed(3)}`;
      one.setAttribute("aria-label", said);
      if (one instanceof HTMLElement) one.title = said;
    }
    place[at.side].classList.add("choosing");
    place[other[at.side]].classList.remove("choosing");
    const best = label(other[at.side], values.indexOf(top));
    const mine = label(at.side, at.position);
    document.getElementById("told").textContent = at.side === "queries"
      ? `${mine} looks most at ${best}, with a weight of ${top.toFixed(2)}.`
      : `${mine} is looked at most by ${best}, with a weight of ${top.toFixed(2)}.`;
    for (const button of document.querySelectorAll(".head")) {
      const own = Number(button.dataset.pattern) === at.pattern && Number(button.dataset.head) === at.head;
      button.setAttribute("aria-pressed", String(own));
    }
  }

  // A head's whole pattern, queries down and keys across, each row on its own scale.
  function paint(canvas, pattern, head) {
    const [, , queries, keys] = pattern.shape;
    [canvas.width, canvas.height] = [keys, queries];
    const picture = new ImageData(keys, queries);
    for (let q = 0; q < queries; q += 1) {
      let top = 1e-9;
      for (let k = 0; k < keys; k += 1) top = Math.max(top, pattern.weight(0, head, q, k));
      for (let k = 0; k < keys; k += 1) picture.data.set([213, 110, 20, (255 * pattern.weight(0, head, q, k)) / top], 4 * (q * keys + k));
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  patterns.forEach((pattern, number) => {
    const line = document.createElement("div");
    line.className = "layer";
    const name = document.createElement("code");
    name.textContent = pattern.name;
    const heads = document.createElement("div");
    for (let head = 0; head < pattern.shape[1]; head += 1) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "head";
      Object.assign(button.dataset, { pattern: number, head });
      button.setAttribute("aria-label", `${pattern.name}, head ${head}`);
      const canvas = document.createElement("canvas");
      paint(canvas, pattern, head);
      button.append(canvas);
      button.addEventListener("click", () => {
        const count = pattern.shape[at.side === "queries" ? 2 : 3];
        Object.assign(at, { pattern: number, head, position: Math.min(at.position, count - 1), step: Math.min(at.step, pattern.shape[0] - 1) });
        show();
      });
      heads.append(button);
    }
    line.append(name, heads);
    document.getElementById("layers").append(line);
  });
  slider.querySelector("input").addEventListener("input", (event) => { at.step = Number(event.target.value); show(); });
  document.getElementById("layers").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = [...document.querySelectorAll(".head")];
    if (by) buttons[buttons.indexOf(event.target) + by]?.focus();
  });
  show();
});
