// Draws every <figure data-spec> with the bundled Vega, in the page's own colours, without eval.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = () => ({
    background: "transparent", font: "system-ui, sans-serif",
    axis: { labelColor: colour("--muted"), titleColor: colour("--muted"), gridColor: colour("--line"), gridOpacity: .7, domainColor: colour("--line"), tickColor: colour("--line"), labelFontSize: 11, titleFontWeight: 500 },
    legend: { symbolSize: 70, labelFontSize: 11, labelColor: colour("--ink"), titleColor: colour("--muted") }, title: { color: colour("--ink"), fontSize: 13, anchor: "start" },
    view: { stroke: null }, mark: { color: colour("--brand") }, point: { color: colour("--brand") }, text: { color: colour("--ink") }, rule: { color: colour("--muted") },
    range: { heatmap: dark.matches ? ["#1f2f33", "#2f7580", "#d39a4a", "#ff8f85"] : ["#e9f2f3", "#7fbcc2", "#d98a3d", "#a32020"], category: dark.matches ? ["#5cc4cf", "#f0a45d", "#a9b7ff", "#7fd08f", "#f08ba8", "#d6c36a"] : ["#0b6b75", "#c25e00", "#4b5bc4", "#2b7d3f", "#b0306a", "#7d6a00"] },
  });
  const draw = (root = document) => root.querySelectorAll("figure[data-spec]").forEach((figure) => {
    const spec = JSON.parse(figure.dataset.spec);
    spec.width ??= "container";
    spec.autosize ??= { type: "fit", contains: "padding" };
    window.vegaEmbed(figure, spec, { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true, theme: "custom" }, config: config() })
      .then(() => figure.classList.add("drawn"))
      .catch((error) => { figure.classList.add("failed"); figure.textContent = "The chart could not be drawn: " + error.message; });
  });
  draw();
  dark.addEventListener("change", () => draw());
  document.addEventListener("replaced", (event) => draw(event.target)); // live.js brought a newer part of the page
})();
