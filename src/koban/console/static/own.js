// Own data: the preview follows what is chosen, progress moves by itself, and hits are marked by keyboard.
// Without this file every step works by its buttons.
"use strict";

(() => {
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");
  const take = (made, ids) => {
    for (const id of ids) {
      const old = document.getElementById(id);
      const fresh = made.getElementById(id);
      if (old && fresh) old.replaceWith(fresh);
    }
  };

  // The map: every change is sent, and the preview comes back.
  const form = document.querySelector("[data-own-map]");
  if (form) {
    let waiting = 0;
    const send = async () => {
      const fields = new URLSearchParams(new FormData(form));
      fields.set("do", "preview");
      const answer = await fetch(form.action, { method: "POST", body: fields, headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const made = parse(await answer.text());
      take(made, ["own-harmful", "own-preview"]);
    };
    form.addEventListener("change", (event) => {
      if (event.target.name === "event" || event.target.name === "encoding") {
        const again = document.createElement("input");
        Object.assign(again, { type: "hidden", name: "do", value: "preview" });
        form.append(again);
        form.submit();
        return;
      }
      clearTimeout(waiting);
      const preview = document.getElementById("own-preview");
      if (preview) preview.setAttribute("aria-busy", "true");
      waiting = setTimeout(send, 250);
    });
  }

  // Progress: asked for every second; when it is done, the page is another one.
  const progress = document.getElementById("own-progress");
  if (progress && progress.dataset.ownProgress === "judging") {
    const ask = async () => {
      try {
        const made = parse(await (await fetch(location.href, { headers: { accept: "text/html" } })).text());
        const now = made.getElementById("own-progress");
        if (!now || now.dataset.ownProgress !== "judging") { location.reload(); return; }
        take(made, ["own-progress"]);
      } catch { /* tried again */ }
      setTimeout(ask, 1000);
    };
    setTimeout(ask, 1000);
  }

  // Hits: J and K or the arrows move; 1 right, 2 wrong, 3 not sure, 0 takes it back.
  const list = document.querySelector("[data-own-hits]");
  if (!list) return;
  const items = () => [...list.querySelectorAll("[data-hit]")];
  const here = () => document.activeElement.closest ? document.activeElement.closest("[data-hit]") : null;
  const focus = (item) => { if (item) { item.focus(); item.scrollIntoView({ block: "nearest" }); } };
  const names = { 1: "right", 2: "wrong", 3: "unsure", 0: "" };

  const send = async (item, name) => {
    const fields = new URLSearchParams(new FormData(item.querySelector("form")));
    fields.set("mark", name);
    const answer = await fetch(item.querySelector("form").action, { method: "POST", body: fields, headers: { accept: "text/html" } });
    // A mark that comes too late for a log that is being deleted must not call the reader back to it.
    if (!answer.ok) { if (!document.querySelector("form[data-sending]")) location.reload(); return; }
    const made = parse(await answer.text());
    take(made, ["own-figures", item.id]);
  };

  // One after the other: answers that overtake each other would leave the figures of an earlier mark.
  let sent = Promise.resolve();
  const mark = (item, name) => {
    sent = sent.catch(() => {}).then(() => send(item, name));
    return sent;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const all = items();
    const place = all.indexOf(here());
    if (event.key === "j" || event.key === "ArrowDown") { event.preventDefault(); focus(all[Math.min(place + 1, all.length - 1)]); }
    else if (event.key === "k" || event.key === "ArrowUp") { event.preventDefault(); focus(all[Math.max(place - 1, 0)]); }
    else if (event.key in names && place >= 0) {
      event.preventDefault();
      const id = all[place].id;
      focus(event.key === "0" ? all[place] : all[place + 1] || all[place]);
      mark(document.getElementById(id), names[event.key]).then(() => { if (!here()) focus(document.getElementById(id)); });
    }
  });
  list.addEventListener("submit", (event) => {
    const item = event.target.closest("[data-hit]");
    if (!item || !event.submitter) return;
    event.preventDefault();
    const id = item.id;
    mark(item, event.submitter.value).then(() => focus(document.getElementById(id)));
  });
  if (!location.hash) focus(items().find((each) => !each.dataset.mark) || items()[0]);
})();
