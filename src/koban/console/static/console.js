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

  // One press is one command: who presses twice while the line is slow would do a thing twice, or read that it was done
  // already. What leads to a file leaves the page as it is, so that a form may be sent again after a moment.
  const AGAIN_MS = 3000;
  const posts = (form) => (form.getAttribute("method") || "").toLowerCase() === "post";
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !posts(form)) return;
    if (form.dataset.sending) { event.preventDefault(); return; }
    form.dataset.sending = "1";
    window.setTimeout(() => delete form.dataset.sending, AGAIN_MS);
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-sending]")) delete form.dataset.sending;
  });

  // A session that ends while somebody types takes nothing with it: what was typed on a page is kept for this tab, and
  // stands there again after the sign-in that leads back to it. Any other way to the page begins anew.
  const store = (name, value) => {
    try {
      if (value === null) sessionStorage.removeItem(name);
      else sessionStorage.setItem(name, JSON.stringify(value));
    } catch { /* a full store loses nothing that is on the screen */ }
  };
  const stored = (name) => { try { return JSON.parse(sessionStorage.getItem(name)); } catch { return null; } };
  // It is theirs alone: when somebody else signs in to this tab, nothing of it is left.
  const me = document.body.dataset.of;
  const whose = stored("koban-of");
  if (me && whose && whose !== me) {
    for (const name of Object.keys(sessionStorage)) if (name.startsWith("koban-")) store(name, null);
  }
  if (me) store("koban-of", me);
  const TYPED = "koban-typed";
  const BACK = "koban-back";
  const goesOn = document.querySelector("form[action='/v1/sign-in'] [name=next]");
  const isKept = (form) => posts(form) && form.closest("main") && !form.closest("[data-draft]");
  const keyOf = (field) => {
    const box = field.matches("[type=checkbox], [type=radio]");
    return `${field.form.getAttribute("action")} ${field.name}${box ? ` ${field.value}` : ""}`;
  };
  const FIELDS = "textarea, select, input:not([type=hidden]):not([type=password]):not([type=file])";
  if (goesOn) {
    const path = goesOn.value.split("?")[0];
    store(BACK, path);
    if (stored(TYPED)?.path !== path) store(TYPED, null);
  } else {
    const kept = stored(TYPED);
    if (kept && kept.path === location.pathname && stored(BACK) === location.pathname) {
      for (const form of document.querySelectorAll("main form")) {
        for (const field of isKept(form) ? form.querySelectorAll(FIELDS) : []) {
          const value = kept.fields[keyOf(field)];
          if (value === undefined) continue;
          if (typeof value === "boolean") field.checked = value;
          else field.value = value;
          for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
          field.dispatchEvent(new Event("input", { bubbles: true }));
        }
      }
    } else store(TYPED, null);
    store(BACK, null);
    document.addEventListener("input", (event) => {
      const field = event.target;
      if (!field.form || !field.name || !field.matches(FIELDS) || !isKept(field.form)) return;
      const before = stored(TYPED);
      const fields = before && before.path === location.pathname ? before.fields : {};
      if (field.matches("[type=radio]")) {
        for (const each of field.form.querySelectorAll("[type=radio]")) if (each.name === field.name) delete fields[keyOf(each)];
      }
      fields[keyOf(field)] = field.matches("[type=checkbox], [type=radio]") ? field.checked : field.value;
      store(TYPED, { path: location.pathname, fields });
    });
  }

  // What a check said holds for the text that it read. While another one stands there, it says that it looks again.
  const checked = document.querySelector("[data-checked-in]");
  if (checked) {
    const said = () => document.getElementById(checked.dataset.checkedIn);
    let shown = said();
    let read = checked.defaultValue;
    let asked = read;
    const look = () => {
      if (checked.value === read) said()?.removeAttribute("aria-busy");
      else said()?.setAttribute("aria-busy", "true");
    };
    checked.addEventListener("input", look);
    document.addEventListener("htmx:before:request", (event) => { if (event.target === checked) asked = checked.value; });
    document.addEventListener("htmx:after:swap", () => {
      if (said() !== shown) { shown = said(); read = asked; }
      look();
    });
    look();
  }

  // What a form came back with is where reading goes on: a new page says nothing by itself to those who hear it, and its
  // keyboard would start at the navigation again.
  const told = document.querySelector("main .notice[role=alert]") || document.querySelector("[data-goes-on]")
    || document.querySelector("main > .notice[role=status]");
  if (told && !location.hash && (!document.activeElement || document.activeElement === document.body)) {
    told.tabIndex = -1;
    told.focus({ preventScroll: true });
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
