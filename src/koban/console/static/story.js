// The evening's bar: its clock runs, and every three seconds it asks where the story is. Without this file it stands
// as the page was made, and its buttons work all the same.
"use strict";

(() => {
  const every = 3000;
  const two = (number) => String(number).padStart(2, "0");
  let asked = performance.now();

  const run = () => {
    const clock = document.querySelector("[data-story-clock]");
    if (!clock) return;
    const passed = (performance.now() - asked) / 1000 * Number(clock.dataset.storySpeed);
    const seconds = Math.min(Number(clock.dataset.storyClock) + passed, 77400);
    clock.textContent = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}`;
  };

  const ask = async () => {
    const bar = document.getElementById("story");
    if (!bar || document.hidden || bar.contains(document.activeElement)) return;
    try {
      const answer = await fetch("/story/bar", { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const made = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("story");
      if (!made) return;
      for (const here of made.querySelectorAll("[data-story-here]")) here.value = location.pathname + location.search;
      bar.replaceWith(made);
      asked = performance.now();
    } catch { /* the server is away; the board says so */ }
  };

  setInterval(run, 500);
  setInterval(ask, every);
})();
