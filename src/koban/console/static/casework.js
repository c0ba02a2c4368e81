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

  // A browser that dies, or a session that ends, does not take what was typed with it.
  for (const form of document.querySelectorAll("[data-draft]")) {
    const name = `koban-draft-${form.dataset.draft}`;
    const fields = form.querySelectorAll("textarea");
    let kept = {};
    try { kept = JSON.parse(sessionStorage.getItem(name) || "{}"); } catch { kept = {}; }
    for (const field of fields) {
      if (kept[field.name] && !field.value.trim()) field.value = kept[field.name];
      field.addEventListener("input", () => {
        kept[field.name] = field.value;
        try { sessionStorage.setItem(name, JSON.stringify(kept)); } catch { /* a full store loses nothing that is on the screen */ }
      });
    }
    form.addEventListener("submit", (event) => {
      if (!event.submitter || event.submitter.value === "preview") return;
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = "1";
    });
  }

  // The preview opens in place, so that the eyes stay on the case.
  for (const form of document.querySelectorAll(".work form")) {
    form.addEventListener("submit", async (event) => {
      const button = event.submitter;
      if (!button || button.value !== "preview") return;
      event.preventDefault();
      const data = new URLSearchParams(new FormData(form));
      data.set("do", "preview");
      const answer = await fetch(form.action, { method: "POST", body: data, headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.querySelector("#preview");
      const problem = page.querySelector(".notice.bad");
      const here = document.querySelector("#preview");
      if (here) {
        here.replaceChildren(...(problem ? [problem] : found ? [...found.childNodes] : []));
        here.scrollIntoView({ block: "nearest" });
      }
    });
  }
})();
