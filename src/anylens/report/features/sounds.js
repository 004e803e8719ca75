"use strict";
// Players: what is marked strongest, or the whole sound, with a line that moves over waveform and spectrogram.
anylens.sounds = (root) => {
  for (const sound of root.querySelectorAll(".al-sound")) {
    const audio = sound.querySelector("audio");
    if (!audio) continue;
    const tracks = sound.querySelector(".al-tracks");
    const seconds = Number(sound.dataset.seconds);
    const head = document.createElement("div");
    head.className = "al-head";
    head.hidden = true;
    tracks.append(head);
    audio.removeAttribute("controls");
    let until = seconds;
    let moving = 0;

    const move = () => {
      head.style.left = `${(100 * audio.currentTime) / seconds}%`;
      if (audio.currentTime >= until) audio.pause();
      if (!audio.paused) moving = requestAnimationFrame(move);
    };
    const play = (from, to) => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
      until = to;
      audio.currentTime = from;
      audio.play().catch((error) => { head.title = String(error); });
    };
    audio.addEventListener("play", () => { head.hidden = false; sound.classList.add("playing"); move(); });
    audio.addEventListener("pause", () => { cancelAnimationFrame(moving); sound.classList.remove("playing"); });

    const from = Math.max(0, Number(audio.dataset.from) - 0.06);
    const to = Math.min(seconds, Number(audio.dataset.to) + 0.06);
    const button = (text, label, action) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = text;
      made.setAttribute("aria-label", label);
      made.addEventListener("click", action);
      audio.before(made);
    };
    button("▶ all", "play the whole sound", () => (audio.paused ? play(0, seconds) : audio.pause()));
    if (to - from < seconds) button("▶ marked", "play the strongest span", () => play(from, to));
    tracks.addEventListener("click", (event) => {
      const box = tracks.getBoundingClientRect();
      play((seconds * (event.clientX - box.left)) / box.width, seconds);
    });
  }
};
