// What the console does beyond links and forms: keep the live part of a page moving, and say when it does not.
// Everything works without this file; nothing here is needed to read or to decide.
"use strict";

(() => {
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-live-pause]");
  const live = () => document.querySelector("[data-live]");
  let paused = false;

  const show = (name) => {
    if (!state) return;
    for (const each of state.querySelectorAll("[data-when]")) each.hidden = each.dataset.when !== name;
  };

  // Make one element like another and touch only what differs, so that focus, selection and scrolling stay.
  const morph = (from, to) => {
    for (const name of from.getAttributeNames()) if (!to.hasAttribute(name)) from.removeAttribute(name);
    for (const name of to.getAttributeNames()) {
      if (from.getAttribute(name) !== to.getAttribute(name)) from.setAttribute(name, to.getAttribute(name));
    }
    const had = [...from.childNodes];
    const wanted = [...to.childNodes];
    wanted.forEach((node, place) => {
      const old = had[place];
      if (!old) from.append(node);
      else if (old.nodeType !== node.nodeType || old.nodeName !== node.nodeName) old.replaceWith(node);
      else if (node.nodeType === Node.ELEMENT_NODE) morph(old, node);
      else if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
    });
    for (const rest of had.slice(wanted.length)) rest.remove();
  };

  // The server tells what changed, once a second, as server-sent events. Where that does not work, the page asks every
  // few seconds instead (its hx- attributes); the stream is tried again by the browser, with the number it saw last.
  let stream = null;
  let heardAt = 0;
  const SILENCE_MS = 6000;
  const streaming = () => stream !== null && Date.now() - heardAt < SILENCE_MS;
  const hear = () => { heardAt = Date.now(); if (!paused) show("moving"); };
  const open = () => {
    const address = live()?.dataset.stream;
    if (!address || !window.EventSource || stream) return;
    stream = new EventSource(address);
    stream.addEventListener("open", hear);
    stream.addEventListener("beat", hear);
    stream.addEventListener("parts", (event) => {
      hear();
      for (const [name, html] of Object.entries(JSON.parse(event.data))) {
        const part = live()?.querySelector(`[data-part="${name}"]`);
        if (!part) continue;
        const made = part.cloneNode(false);
        made.innerHTML = html;
        morph(part, made);
      }
    });
    stream.addEventListener("error", () => {
      heardAt = 0;
      if (!paused) show("lost");
      // A refused stream (too many readers, a session that ended) is closed for good: try again a little later.
      if (stream && stream.readyState === EventSource.CLOSED) { close(); window.setTimeout(resume, 5000); }
    });
  };
  const close = () => { stream?.close(); stream = null; heardAt = 0; };
  const resume = () => { if (!paused && !document.hidden) open(); };
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else resume(); });
  window.addEventListener("pagehide", close);
  resume();

  // An update costs the server something: none while nobody looks, none while the reader asked for rest, and none by
  // asking while the stream brings them.
  document.addEventListener("htmx:before:request", (event) => {
    if (event.target.hasAttribute("data-live") && (paused || document.hidden || streaming())) event.preventDefault();
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
      if (paused) close(); else resume();
    });
  }

  // A slash leads to the search above every page, unless somebody is writing.
  const search = document.querySelector("[data-search]");
  if (search) {
    document.addEventListener("keydown", (event) => {
      const writing = event.target instanceof Element && event.target.closest("input, select, textarea, [contenteditable]");
      if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        search.focus();
        search.select();
      }
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
