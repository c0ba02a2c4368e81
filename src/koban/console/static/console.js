// What the console does beyond links and forms: keep the live part of a page moving, and say when it does not.
// Everything works without this file; nothing here is needed to read or to decide.
"use strict";

(() => {
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-live-pause]");
  let paused = false;

  const show = (name) => {
    if (!state) return;
    for (const each of state.querySelectorAll("[data-when]")) each.hidden = each.dataset.when !== name;
  };

  // An update costs the server something: none while nobody looks, none while the reader asked for rest.
  document.addEventListener("htmx:before:request", (event) => {
    if (event.target.hasAttribute("data-live") && (paused || document.hidden)) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", () => { if (!paused) show("moving"); });
  document.addEventListener("htmx:error", () => show("lost"));
  document.addEventListener("htmx:response:error", () => show("lost"));

  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      show(paused ? "paused" : "moving");
    });
  }

  // Escape closes the drawer of the small layout.
  const drawer = document.querySelector(".drawer details");
  if (drawer) {
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && drawer.open) {
        drawer.open = false;
        drawer.querySelector("summary").focus();
      }
    });
  }
})();
