// Fetches the moving part of a page again while what it shows goes on, and replaces only the sections that changed.
(() => {
  const box = document.querySelector("[data-refresh]");
  if (!box || "ended" in box.dataset) return;
  const parts = (root) => new Map([...root.querySelectorAll(":scope > [data-part]")].map((part) => [part.dataset.part, part]));
  const atEnd = (pre) => pre.scrollHeight - pre.scrollTop - pre.clientHeight < 8;
  const came = new WeakMap(); // each part as it came: a drawn chart holds more
  const replace = (old, fresh) => {
    if ((came.get(old) ?? old.outerHTML) === fresh.outerHTML || old.contains(document.activeElement) && document.activeElement.matches("select, input")) return;
    const scrolls = [...old.querySelectorAll("[data-keep-end]")].map((pre) => [pre.scrollTop, atEnd(pre)]);
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    came.set(fresh, fresh.outerHTML);
    const drawn = [...old.querySelectorAll("figure[data-spec]")]; // keeps its height until it is drawn again
    fresh.querySelectorAll("figure[data-spec]").forEach((figure, i) => { if (drawn[i]) figure.style.minHeight = `${drawn[i].offsetHeight}px`; });
    old.replaceWith(fresh);
    fresh.dispatchEvent(new Event("replaced", { bubbles: true }));
    fresh.querySelectorAll("[data-keep-end]").forEach((pre, i) => { if (scrolls[i]) pre.scrollTop = scrolls[i][1] ? pre.scrollHeight : scrolls[i][0]; });
    if (focused) [...fresh.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  };
  const refresh = async () => {
    try {
      const answer = await fetch(box.dataset.refresh, { credentials: "same-origin" });
      if (!answer.ok) return setTimeout(refresh, 5000);
      const fresh = parts(new DOMParser().parseFromString(await answer.text(), "text/html").body);
      const old = parts(box);
      for (const [name, part] of fresh) {
        if (old.has(name)) replace(old.get(name), part);
        else {
          const after = [...fresh.keys()].slice([...fresh.keys()].indexOf(name) + 1).map((each) => parts(box).get(each)).find(Boolean);
          came.set(part, part.outerHTML);
          box.insertBefore(part, after ?? null);
          part.dispatchEvent(new Event("replaced", { bubbles: true }));
        }
      }
      for (const [name, part] of old) if (!fresh.has(name)) part.remove();
      // What does not move (cards, metrics, artefacts) is complete now: the whole page once more.
      if (fresh.get("state")?.dataset.status !== "running") return location.reload();
    } catch { return setTimeout(refresh, 5000); }
    setTimeout(refresh, document.hidden ? 5000 : Number(box.dataset.every));
  };
  box.querySelectorAll("[data-keep-end]").forEach((pre) => { pre.scrollTop = pre.scrollHeight; });
  setTimeout(refresh, Number(box.dataset.every));
})();
