// A sample in the grid, and the ways in which fields are shown there.

import { ask, bytes, make, number } from "./api.js";

const PICTURES = ["image", "raster", "array", "video"];
const WIDTHS = { small: 192, medium: 320, large: 640 };
const PLAIN = ["text", "json", "other"];
const TEXT = 300;

export const path = (sample, index) => `${sample.number}/${index}`;

// What a screen reader says of a picture.
const alternative = (sample, field) => `${field.name} of sample ${sample.key || sample.number}`;

export function failure(message) {
  return make("p", { class: "failed" }, message);
}

function picture(sample, field, index, size) {
  const image = make("img", {
    src: `image/${path(sample, index)}?size=${WIDTHS[size]}`, alt: alternative(sample, field), loading: "lazy", decoding: "async",
  });
  const figure = make("figure", {}, image, make("figcaption", {}, field.name));
  image.addEventListener("error", () => insteadOf(image, sample, field, index), { once: true });
  return figure;
}

// The fields in the order in which they are looked at: what the sample is of, then what is said of it.
const ORDER = ["image", "video", "raster", "array", "audio", "text", "json", "other"];
export function inOrder(sample) {
  const rank = ({ field }) => ORDER.indexOf(field.kind) + 20 * PLAIN.includes(field.kind) + 2 * (field.name.split(".").length - 1);
  return sample.fields.map((field, index) => ({ field, index })).sort((a, b) => rank(a) - rank(b));
}

function plain(sample, field, index) {
  const line = make("p", { class: "line", "data-text": path(sample, index) }, make("b", {}, field.name), field.kind === "other" ? bytes(field.nbytes) : "…");
  return line;
}

// One request for the texts of all samples of a page.
export async function fillTexts(place, samples, signal) {
  if (!samples.length) return;
  const { texts } = await ask("api/texts", { numbers: samples.map((sample) => sample.number).join(","), most: TEXT }, signal);
  for (const line of place.querySelectorAll("[data-text]")) {
    const found = texts[line.dataset.text];
    if (!found) continue;
    if (found.error) {
      line.replaceWith(failure(`${line.firstChild.textContent}: ${found.error}`));
      continue;
    }
    const text = found.form === "json" ? found.text.replace(/\s+/g, " ") : found.text.trim();
    line.lastChild.replaceWith(text + (found.cut ? " …" : ""));
  }
}

async function insteadOf(image, sample, field, index) {
  const line = make("p", { class: "failed" }, `${field.name} …`);
  image.replaceWith(line);
  try {
    const found = await ask(`api/text/${path(sample, index)}`, { most: TEXT });
    line.className = "line";
    line.textContent = found.text;
  } catch (error) {
    line.textContent = error.message;
  }
}

function player(sample, field, index) {
  const name = field.kind === "video" ? "video" : "audio";
  const poster = name === "video" ? `image/${path(sample, index)}?size=480` : undefined;
  return make("figure", { class: name === "audio" ? "sound" : undefined },
    make(name, { controls: true, preload: "none", src: `field/${path(sample, index)}`, poster, "aria-label": alternative(sample, field) }),
    make("figcaption", {}, field.name));
}

export function makeCard(sample, size, only, open) {
  const shown = inOrder(sample).filter(({ field }) => !only || field.name.toLowerCase() === only);
  const pictures = make("div", { class: "pictures" });
  const texts = [];
  for (const { field, index } of shown) {
    if (field.kind === "video" || field.kind === "audio") pictures.append(player(sample, field, index));
    else if (PICTURES.includes(field.kind)) pictures.append(picture(sample, field, index, size));
    else texts.push(plain(sample, field, index));
  }
  const button = make("button", { class: "open", type: "button", "data-number": sample.number, onclick: () => open(sample.number) },
    make("span", { class: "number" }, number(sample.number)), sample.key || "(no key)");
  return make("li", { class: "card" }, pictures.childElementCount ? pictures : null, button, ...texts);
}
