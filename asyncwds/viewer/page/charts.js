// Histograms: as bars, and as a table for those who don't see them.

import { amount, ask, byId, bytes, draw, make, number } from "./api.js";
import { failure } from "./card.js";

const [HEIGHT, FOOT, HEAD, EDGE] = [288, 28, 24, 10];

export class Charts {
  constructor(changed) {
    this.measures = [];
    this.choice = byId("measure");
    this.choice.addEventListener("change", () => { changed(this.choice.value); this.show(); });
  }

  // The list of what there is, with `wanted` chosen.
  async open(wanted) {
    try {
      this.measures = await ask("api/measures");
    } catch (error) {
      byId("chart").replaceChildren(failure(error.message));
      return;
    }
    this.choice.replaceChildren(...this.measures.map(({ label }) => make("option", { value: label }, label)));
    if (this.measures.some(({ label }) => label === wanted)) this.choice.value = wanted;
    await this.show();
  }

  async show() {
    const measure = this.measures.find(({ label }) => label === this.choice.value);
    if (!measure) return;
    const { label, ...asked } = measure;
    byId("chart-status").textContent = "Counting …";
    try {
      const found = await ask("api/histogram", asked);
      if (this.choice.value === label) this.fill(found, measure);
    } catch (error) {
      byId("chart-status").textContent = "";
      byId("chart").replaceChildren(failure(error.message));
    }
  }

  fill(found, measure) {
    const shown = measure.of === "size" ? bytes : amount;
    const parts = [found.read < found.samples ? `Of ${number(found.read)} samples, spread evenly over ${number(found.samples)}` : `Of all ${number(found.samples)} samples`];
    if (found.missing) parts.push(`${number(found.missing)} have no such value`);
    if (found.kind === "numbers" && found.count) parts.push(`${shown(found.min)} to ${shown(found.max)}, mean ${shown(found.mean)}, median ${shown(found.median)}`);
    if (measure.of === "size" && found.count) parts.push(`${bytes(found.sum)} together`);
    if (found.others?.count) parts.push(`${number(found.others.names)} more values in ${number(found.others.count)} samples`);
    byId("chart-status").textContent = `${parts.join("; ")}.`;
    if (!found.bars.length) byId("chart").replaceChildren();
    else if (found.kind === "names") byId("chart").replaceChildren(named(found.bars));
    else byId("chart").replaceChildren(numeric(found.bars, shown, measure.label, byId("chart").clientWidth - 2 * EDGE), table(found.bars, shown));
  }
}

// The samples of a bar: its address, where a condition tells which these are.
const toSamples = (where) => `#${new URLSearchParams({ where })}`;

function named(bars) {
  const most = Math.max(...bars.map(({ count }) => count));
  return make("ul", { class: "bars" }, ...bars.map(({ name, count, where }) => {
    const shown = name === "" ? "(empty)" : name;
    const bar = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, draw("rect", { width: (100 * count) / most, height: 10 }));
    const parts = [make("span", { class: "name" }, shown), bar, make("span", { class: "count" }, number(count))];
    return make("li", {}, ...(where ? [make("a", { href: toSamples(where), "aria-label": `${shown}: ${number(count)} samples, show them` }, ...parts)] : parts));
  }));
}

function numeric(bars, shown, label, across) {
  const most = Math.max(...bars.map(({ count }) => count));
  const width = across / bars.length;
  const tall = HEIGHT - FOOT - HEAD;
  const text = `Histogram of ${label}: ${bars.length} bins from ${shown(bars[0].from)} to ${shown(bars.at(-1).to)}, at most ${number(most)} samples in one.`;
  const svg = draw("svg", { viewBox: `${-EDGE} 0 ${across + 2 * EDGE} ${HEIGHT}`, role: "group", "aria-label": text });
  bars.forEach(({ from, to, count, where }, place) => {
    const height = (tall * count) / most;
    const rect = draw("rect", { x: place * width + 1, y: HEAD + tall - height, width: Math.max(1, width - 2), height, rx: 2 });
    const title = draw("title");
    title.textContent = `${shown(from)} to ${shown(to)}: ${number(count)}`;
    rect.append(title);
    // All of the column is for the pointer: a bar of few samples is a pixel high.
    const column = draw("rect", { class: "column", x: place * width, y: HEAD, width, height: tall });
    svg.append(where && count ? draw("a", { href: toSamples(where), "aria-label": `${title.textContent} samples, show them` }, column, rect) : rect);
  });
  svg.append(draw("line", { x1: 0, x2: across, y1: HEAD + tall, y2: HEAD + tall }));
  const mark = (place, value, anchor) => svg.append(draw("text", { x: place, y: HEIGHT - 9, "text-anchor": anchor }, shown(value)));
  mark(0, bars[0].from, "start");
  if (bars.length > 3) mark(width * Math.floor(bars.length / 2), bars[Math.floor(bars.length / 2)].from, "middle");
  mark(across, bars.at(-1).to, "end");
  svg.append(draw("text", { x: 0, y: 16, "text-anchor": "start" }, `${number(most)} samples`));
  return svg;
}

function table(bars, shown) {
  const rows = bars.map(({ from, to, count }) => make("tr", {}, make("td", {}, shown(from)), make("td", {}, shown(to)), make("td", {}, number(count))));
  return make("details", {}, make("summary", {}, "As a table"), make("table", {},
    make("thead", {}, make("tr", {}, ...["from", "to", "samples"].map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows)));
}
