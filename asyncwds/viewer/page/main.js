// The page as a whole: what the address says, what is known of the shards, and the keyboard.

import { ask, byId, make, number } from "./api.js";
import { Charts } from "./charts.js";
import { Detail } from "./detail.js";
import { Grid } from "./grid.js";

const [SOON, LATER] = [60, 1000]; // [ms] between two looks at what is known, while there is more to come
const KINDS_FIRST = 24;

const grid = new Grid((sample) => go({ ...place(), sample }));
const detail = new Detail(
  (sample) => { if (Number(place().sample) !== sample.number) replace({ ...without(place(), "key"), sample: sample.number }); },
  () => { const at = place(); const sample = at.sample; go(without(at, "sample", "key")); grid.button(sample)?.focus(); },
);
const charts = new Charts((measure) => replace({ ...place(), histogram: measure }));
let state = { samples: 0, complete: false, fields: [] };
let delay = SOON;
let drawn = null; // what the grid shows, so that closing a dialog draws nothing again

// The address: #first=96, #search=cat, #where=cls == 3, #sample=17, #key=a/b, #histogram=jpg: size
function place() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}
const without = (at, ...names) => Object.fromEntries(Object.entries(at).filter(([name]) => !names.includes(name)));
const fragment = (at) => `#${new URLSearchParams(at)}`;
function go(at) {
  if (fragment(at) !== location.hash) location.hash = fragment(at);
}
function replace(at) {
  history.replaceState(null, "", fragment(at));
}

async function follow() {
  const at = place();
  const inCharts = "histogram" in at;
  const leavesChart = !inCharts && byId("charts").contains(document.activeElement);
  byId("samples").hidden = inCharts;
  byId("charts").hidden = !inCharts;
  byId("show-samples").setAttribute("aria-pressed", String(!inCharts));
  byId("show-charts").setAttribute("aria-pressed", String(inCharts));
  if (leavesChart) byId("samples").focus({ preventScroll: true }); // what was pressed is not seen any more
  if (inCharts) {
    if (detail.dialog.open) detail.dialog.close();
    return charts.open(at.histogram);
  }
  if ("key" in at && !("sample" in at)) return openKey(at.key);
  const opened = "sample" in at && detail.number !== Number(at.sample) ? detail.show(Number(at.sample)) : null;
  if (!("sample" in at) && detail.dialog.open) detail.dialog.close();
  const what = ["search", "where"].find((name) => at[name]);
  const wanted = what ? `${what}=${at[what]}` : `first=${at.first ?? firstFor(at)}`;
  if (wanted !== drawn) {
    drawn = wanted;
    byId("search-text").value = at.search ?? "";
    byId("where-text").value = at.where ?? "";
    await (what ? grid.find(what, at[what]) : grid.show(Number(at.first ?? firstFor(at))));
  }
  return opened;
}

// The page of a sample that a link leads to.
function firstFor(at) {
  return "sample" in at ? Math.floor(Number(at.sample) / grid.page) * grid.page : 0;
}

async function openKey(key) {
  try {
    const { numbers } = await ask("api/search", { text: key, exact: 1 });
    replace({ sample: numbers[0] });
    return follow();
  } catch (error) {
    if (!state.complete) return undefined; // it may still come
    byId("found").textContent = error.message;
    return undefined;
  }
}

async function look() {
  try {
    const before = state;
    state = await ask("api/state");
    describe();
    grid.total = state.samples;
    const few = !grid.search && !grid.busy && grid.buttons().length < Math.min(grid.page, state.samples - grid.first);
    if (few) drawn = null;
    const inCharts = "histogram" in place();
    const ended = state.complete && !before.complete;
    if (inCharts ? delay === SOON || ended : drawn === null || "key" in place()) await follow();
    else grid.mark();
    delay = Math.min(LATER, 1.5 * delay);
    if (!state.complete || grid.busy) setTimeout(look, delay);
  } catch (error) {
    byId("status").textContent = error.message;
    setTimeout(look, 5 * LATER);
  }
}

function describe() {
  byId("title").textContent = state.title;
  document.title = `${state.title} | shards`;
  const shards = `${number(state.shards)} ${state.shards === 1 ? "shard" : "shards"}`;
  const text = state.complete ? `${number(state.samples)} samples in ${shards}` : `${number(state.samples)} samples so far, ${number(state.ready)} of ${shards} known`;
  if (byId("status").textContent !== text) byId("status").textContent = text;
  const names = ["", ...state.fields.slice(0, KINDS_FIRST).map(({ name }) => name)];
  const only = byId("only");
  if (only.options.length !== names.length) {
    only.replaceChildren(...names.map((name) => make("option", { value: name }, name || "all")));
    only.value = grid.only;
  }
  const { problems } = state;
  byId("problems").hidden = !problems.length;
  if (problems.length) {
    byId("problems").replaceChildren(make("details", { open: problems.length < 4 }, make("summary", {}, `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`),
      make("ul", {}, ...problems.map(({ shard, message }) => make("li", {}, message.includes(shard) ? message : `${shard}: ${message}`)))));
  }
}

function showSamples() {
  go(without(place(), "histogram"));
}
function showCharts() {
  go({ ...without(place(), "sample", "key"), histogram: byId("measure").value || "whole sample: size" });
}

byId("show-samples").addEventListener("click", showSamples);
byId("show-charts").addEventListener("click", showCharts);
byId("show-help").addEventListener("click", () => byId("help").showModal());
byId("help-close").addEventListener("click", () => byId("help").close());
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("search-text").value.trim();
  go(text ? { search: text } : {});
});
byId("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  const where = byId("where-text").value.trim();
  go(where ? { where } : {});
});
byId("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = Math.min(Math.max(0, Number(byId("jump-number").value)), Math.max(0, state.samples - 1));
  replace({ first: wanted });
  drawn = `first=${wanted}`;
  grid.show(wanted, wanted);
});
byId("position").addEventListener("input", (event) => { byId("where").textContent = `${number(Number(event.target.value))} of ${number(state.samples)}`; });
byId("position").addEventListener("change", (event) => turnTo(Number(event.target.value)));
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
byId("size").addEventListener("change", (event) => { grid.size = event.target.value; again(); });
byId("only").addEventListener("change", (event) => { grid.only = event.target.value; again(); });
window.addEventListener("hashchange", follow);

function again() {
  return grid.search ? grid.find(grid.search.what, grid.search.text) : grid.show(grid.first);
}
function turnTo(first, focus = null) {
  replace({ first });
  drawn = `first=${first}`;
  return grid.show(first, focus);
}
async function turn(pages, focus = null) {
  await grid.turn(pages, focus);
  if (grid.search) return;
  drawn = `first=${grid.first}`;
  replace({ first: grid.first });
  window.scrollTo({ top: 0 });
}

const GRID_KEYS = {
  ArrowLeft: () => grid.move(-1, 0),
  ArrowRight: () => grid.move(1, 0),
  ArrowUp: () => grid.move(0, -1),
  ArrowDown: () => grid.move(0, 1),
  PageUp: () => turn(-1, true),
  PageDown: () => turn(1, true),
  Home: () => turnTo(0, 0),
  End: () => turnTo(Math.max(0, state.samples - grid.page), state.samples - 1),
};
const KEYS = {
  "/": () => { showSamples(); byId("search-text").select(); byId("search-text").focus(); },
  w: () => { showSamples(); byId("where-text").focus(); byId("where-text").select(); },
  g: () => { showSamples(); byId("jump-number").focus(); byId("jump-number").select(); },
  h: () => (byId("charts").hidden ? showCharts() : showSamples()),
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("input, select, textarea, audio, video");
  if (event.ctrlKey || event.metaKey || event.altKey || writes || byId("help").open) return;
  if (detail.dialog.open) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    detail.step(step);
    return;
  }
  const act = KEYS[event.key] ?? (byId("charts").hidden ? GRID_KEYS[event.key] : undefined);
  if (!act) return;
  event.preventDefault();
  act();
});

look();
