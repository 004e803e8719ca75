"use strict";
// Which of the two is shown, the index or a feature, by the address; and the keys.
anylens.chunk("index").then((index) => {
  const place = { index: document.getElementById("index"), feature: document.getElementById("feature") };
  const parts = Object.fromEntries(["facts", "strongest", "random", "side", "dead"].map((id) => [id, document.getElementById(id)]));
  const samples = anylens.samples(index.sizes);
  const name = document.getElementById("name");
  const top = document.getElementById("top");
  const table = anylens.table(index, samples, (number) => { location.hash = `#/feature/${number}`; });
  let scrolled = 0;
  let shown = null;

  function showing(feature) {
    place.index.hidden = top.hidden = feature;
    place.feature.hidden = !feature;
  }

  function link(id, row) {
    const element = document.getElementById(id);
    element.href = row ? `#/feature/${row[0]}` : "#/";
    element.classList.toggle("none", !row);
    element.tabIndex = row ? 0 : -1;
  }

  function open(number) {
    if (shown === null) scrolled = scrollY;
    const rank = table.rank(number);
    shown = number;
    showing(true);
    name.textContent = rank === undefined ? `There is no feature ${number}` : `Feature ${number}`;
    document.title = name.textContent;
    const rows = table.rows();
    const at = rows.findIndex((row) => row[0] === number);
    link("previous", at > 0 ? rows[at - 1] : null);
    link("next", at >= 0 ? rows[at + 1] : null);
    clear();
    scrollTo(0, 0);
    name.focus({ preventScroll: true });
    if (rank === undefined) return;
    anylens.chunk(`features-${Math.floor(rank / index.sizes.features)}`).then((held) => {
      if (shown !== number) return;
      const feature = held[number];
      anylens.fill(parts.facts, feature.facts);
      anylens.fill(parts.side, feature.more);
      parts.dead.hidden = feature.strongest.length > 0;
      for (const part of ["strongest", "random"]) {
        parts[part].parentElement.hidden = !feature[part].length;
        for (const example of feature[part]) card(parts[part], example, feature.top);
      }
    }).catch((error) => { parts.facts.textContent = error.message; });
  }

  async function card(list, example, top) {
    const item = document.createElement("li");
    const drawn = document.createElement("div");
    const caption = document.createElement("p");
    caption.className = "caption";
    item.append(drawn, caption);
    list.append(item);
    const sample = await samples.draw(drawn, example, top);
    const strength = document.createElement("strong");
    strength.textContent = example[2].toPrecision(3);
    caption.append(strength, ` ${sample.name}`);
    anylens.sounds(drawn);
  }

  function clear() {
    for (const part of ["facts", "strongest", "random", "side"]) parts[part].replaceChildren();
    parts.dead.hidden = true;
  }

  function back() {
    const last = shown;
    shown = null;
    clear();
    showing(false);
    document.title = top.querySelector("h1").textContent;
    scrollTo(0, scrolled);
    document.querySelector(`#rows a[href="#/feature/${last}"]`)?.focus({ preventScroll: true });
  }

  function route() {
    const found = location.hash.match(/^#\/feature\/(\d+)$/);
    if (found) open(Number(found[1]));
    else if (shown !== null) back();
  }

  function step(forward) {
    const links = [...document.querySelectorAll("#rows th a")];
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? 0 : at + (forward ? 1 : -1)];
    if (next) next.focus();
    else if (!forward) document.getElementById("search").focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input[type=search]");
    if (event.key === "Escape" && shown !== null) location.hash = "#/";
    else if (event.key === "Escape" && typing) { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
    else if (event.key === "/" && !typing && shown === null) document.getElementById("search").focus();
    else if (shown !== null && event.key === "ArrowRight") document.getElementById("next").click();
    else if (shown !== null && event.key === "ArrowLeft") document.getElementById("previous").click();
    else if (shown === null && (event.key === "ArrowDown" || event.key === "ArrowUp")) step(event.key === "ArrowDown");
    else return;
    event.preventDefault();
  });

  for (const part of ["strongest", "random"]) parts[part].classList.add(`of-${index.kind}`);
  for (const button of document.querySelectorAll(".marks button")) {
    const press = () => {
      document.documentElement.dataset.marks = button.value;
      for (const one of document.querySelectorAll(".marks button")) one.setAttribute("aria-pressed", String(one === button));
    };
    button.addEventListener("click", press);
    if (button.value === "spotlight") press();
  }
  addEventListener("hashchange", route);
  route();
});
