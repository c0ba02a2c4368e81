// Judging by keyboard: one key for each thing on the screen, a help for them, and what was typed is never lost.
// Everything works without this file.
"use strict";

(() => {
  const keys = document.querySelector("#keys");
  const opener = document.querySelector("[data-keys-open]");
  const typing = (node) => node instanceof HTMLElement && (node.matches("textarea, select, input:not([type=checkbox]):not([type=radio])") || node.isContentEditable);

  if (opener && keys) {
    opener.hidden = false;
    opener.addEventListener("click", () => keys.showModal());
  }

  const press = (target) => {
    if (target.matches("details")) {
      target.open = !target.open;
      if (target.open) target.querySelector("select, input, textarea, button").focus();
    } else if (target.matches("textarea, select")) {
      const fold = target.closest("details");
      if (fold) fold.open = true;
      target.focus();
    } else {
      target.click();
      if (target.matches("input")) target.focus({ preventScroll: true });
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
      // Ctrl+Enter decides from within a text, too.
      const form = document.activeElement && document.activeElement.closest(".judge");
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && form) {
        const button = form.querySelector("button.primary");
        if (button) { event.preventDefault(); button.click(); }
      }
      return;
    }
    if (event.key === "Escape" && typing(document.activeElement)) { document.activeElement.blur(); return; }
    if (typing(document.activeElement) || (keys && keys.open)) return;
    if (event.key === "?" && keys) { event.preventDefault(); keys.showModal(); return; }
    if (event.key === "g") { location.assign("/cases"); return; }
    if (event.key === "t") {
      const covered = [...document.querySelectorAll("[data-covered] details")];
      const open = covered.some((each) => !each.open);
      for (const each of covered) each.open = open;
      return;
    }
    if (event.key === "a") {
      const folded = [...document.querySelectorAll("[data-more]")];
      const open = folded.some((each) => !each.open);
      for (const each of folded) each.open = open;
      return;
    }
    const onControl = document.activeElement && document.activeElement.matches("a, button, summary");
    if (event.key === "Enter" && onControl) return;
    const wanted = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const target = document.querySelector(`[data-key="${CSS.escape(wanted)}"]`);
    if (target) { event.preventDefault(); press(target); }
  });

  // A browser that dies, a line that breaks or a session that ends does not take what was typed with it: all of it is kept
  // for this tab until the case says that it was done.
  const read = (name) => { try { return JSON.parse(sessionStorage.getItem(name) || "{}"); } catch { return {}; } };
  const keep = (name, kept) => {
    try { sessionStorage.setItem(name, JSON.stringify(kept)); } catch { /* a full store loses nothing that is on the screen */ }
  };
  const SENT = "koban-draft-sent";
  const drop = (name) => { try { sessionStorage.removeItem(name); } catch { /* nothing was kept */ } };
  const sent = read(SENT).draft;
  if (sent && new URLSearchParams(location.search).has("done")) drop(sent);
  drop(SENT);
  const KEPT = "textarea, input:not([type=hidden]), select";
  for (const work of document.querySelectorAll("[data-draft]")) {
    const name = `koban-draft-${work.dataset.draft}`;
    const kept = read(name);
    for (const field of work.querySelectorAll(KEPT)) {
      const box = field.matches("[type=checkbox], [type=radio]");
      const key = field.matches("[type=radio]") ? `${field.name}=${field.value}` : field.id || field.name;
      if (key in kept) {
        if (box) field.checked = kept[key];
        else field.value = kept[key];
        const fold = field.closest("details.fold");
        if (fold && !box && field.value !== field.defaultValue && field.matches("textarea, input")) fold.open = true;
      }
      field.addEventListener("input", () => {
        if (field.matches("[type=radio]")) for (const each of Object.keys(kept)) if (each.startsWith(`${field.name}=`)) delete kept[each];
        kept[key] = box ? field.checked : field.value;
        keep(name, kept);
      });
    }
  }

  // One press is one command, also where the finger was quicker than the line; and a page that comes back can be sent.
  const lost = document.querySelector("[data-lost]");
  const say = (wrong) => { if (lost) lost.hidden = !wrong; if (wrong && lost) lost.scrollIntoView({ block: "nearest" }); };
  for (const form of document.querySelectorAll(".work form")) {
    form.addEventListener("submit", (event) => {
      if (event.submitter && event.submitter.value === "preview") return;
      if (form.dataset.sent) { event.preventDefault(); return; }
      if (!navigator.onLine) { event.preventDefault(); say(true); return; }
      form.dataset.sent = "1";
      const draft = form.closest("[data-draft]");
      if (draft && event.submitter && event.submitter.value !== "release") keep(SENT, { draft: `koban-draft-${draft.dataset.draft}` });
    });
  }
  addEventListener("online", () => say(false));
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
  });

  // The preview opens in place, so that the eyes stay on the case.
  for (const form of document.querySelectorAll(".work form")) {
    form.addEventListener("submit", async (event) => {
      const button = event.submitter;
      if (!button || button.value !== "preview") return;
      event.preventDefault();
      const data = new URLSearchParams(new FormData(form));
      data.set("do", "preview");
      let page = null;
      try {
        const answer = await fetch(form.action, { method: "POST", body: data, headers: { accept: "text/html" } });
        page = new DOMParser().parseFromString(await answer.text(), "text/html");
      } catch { /* said below */ }
      const found = page && page.querySelector("#preview");
      const problem = page && page.querySelector(".notice.bad:not([data-lost])");
      say(!found);
      const here = document.querySelector("#preview");
      if (here && found) {
        here.replaceChildren(...(problem ? [problem] : [...found.childNodes]));
        here.scrollIntoView({ block: "nearest" });
      }
    });
  }
})();
