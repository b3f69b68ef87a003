// Small comforts; every page works without them.
(() => {
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !typing) {
      const search = document.querySelector('input[type="search"]');
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
  document.querySelectorAll(".scroll").forEach((box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; });
  document.querySelectorAll("form[data-confirm]").forEach((form) => form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.confirm)) event.preventDefault();
  }));
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => {
    navigator.clipboard?.writeText(button.dataset.copy); button.textContent = "copied";
  }));
})();
