"use strict";
// Pieces of the page, here when they are needed: in the page itself, or in files beside it that come as scripts, since a
// page without a server may fetch nothing.
const anylens = (() => {
  const here = new Map();
  const waiting = new Map();

  function put(name, content) {
    here.set(name, content);
    for (const tell of waiting.get(name) || []) tell(content);
    waiting.delete(name);
  }

  function chunk(name) {
    const held = document.getElementById(`chunk-${name}`);
    if (held && !here.has(name)) here.set(name, JSON.parse(held.textContent));
    if (here.has(name)) return Promise.resolve(here.get(name));
    return new Promise((resolve, reject) => {
      if (waiting.has(name)) {
        waiting.get(name).push(resolve);
        return;
      }
      waiting.set(name, [resolve]);
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      script.onerror = () => reject(new Error(`data/${name}.js is missing beside this page`));
      document.head.append(script);
    });
  }

  // Put a piece into an element; its pictures and sounds are files beside the page, or in it.
  function fill(element, html) {
    const made = document.createElement("template");
    made.innerHTML = html;
    for (const one of made.content.querySelectorAll("[src]")) {
      const held = document.getElementById(one.getAttribute("src"));
      if (held) one.setAttribute("src", held.textContent);
    }
    element.replaceChildren(made.content);
  }

  return { put, chunk, fill };
})();
