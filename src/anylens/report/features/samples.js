"use strict";
// Samples with values on them. A sample is drawn as the page has it, and its marks are set for a feature.
anylens.samples = (sizes) => {
  const FINE = 999;

  // Set the marks of a drawn sample: each mark is an element with the number of its row.
  function mark(element, sample, row, pairs, top) {
    const values = new Map();
    for (let at = 0; at < pairs.length; at += 2) values.set(pairs[at], pairs[at + 1] / FINE);
    const tip = (p) => `${sample.labels[p]}: ${((values.get(p) || 0) * top).toPrecision(3)}`;
    for (const one of element.querySelectorAll("[data-p]")) {
      const p = Number(one.dataset.p);
      if (!values.has(p)) continue;
      one.style.setProperty("--v", values.get(p));
      if (one instanceof HTMLElement) one.title = tip(p);
      one.classList.toggle("al-best", p === row);
    }
    const told = `strongest at ${sample.labels[row]}`;
    for (const one of element.querySelectorAll("[data-told]")) one.textContent = told;
    const image = element.querySelector("[role=img]");
    if (image) image.setAttribute("aria-label", `${image.getAttribute("aria-label")}, ${told}`);
    const audio = element.querySelector("audio");
    if (audio && sample.spans) [audio.dataset.from, audio.dataset.to] = sample.spans[row] || [0, 0];
    if (sample.steps) steps(element, sample, row, values);
  }

  // Show the marks of one step, and let another be chosen.
  function steps(element, sample, row, values) {
    const plot = element.querySelector(".al-curve");
    if (!plot) return;
    const levels = new Map();
    for (const [p, value] of values) levels.set(sample.steps[p], Math.max(levels.get(sample.steps[p]) || 0, value));
    const bars = [...plot.querySelectorAll("[data-step]")];
    const show = (step) => {
      for (const bar of bars) bar.classList.toggle("al-at", Number(bar.dataset.step) === step);
      for (const one of element.querySelectorAll(".al-cell")) one.classList.toggle("al-off", sample.steps[one.dataset.p] !== step);
      plot.querySelector("figcaption").textContent = `step ${step} of ${bars.length}`;
    };
    for (const bar of bars) bar.style.setProperty("--v", levels.get(Number(bar.dataset.step)) || 0);
    const svg = plot.querySelector("svg");
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      show(Math.max(0, Math.min(bars.length - 1, Math.floor((bars.length * (event.clientX - box.left)) / box.width))));
    });
    svg.addEventListener("pointerleave", () => show(sample.steps[row]));
    show(sample.steps[row]);
  }

  // Draw an example, [sample, row, strength, pairs of rows and values], into an element.
  async function draw(element, [number, row, , pairs], top) {
    const held = await anylens.chunk(`samples-${Math.floor(number / sizes.samples)}`);
    const sample = held[number % sizes.samples];
    anylens.fill(element, sample.html);
    mark(element, sample, row, pairs, top);
    return sample;
  }

  return { draw };
};
