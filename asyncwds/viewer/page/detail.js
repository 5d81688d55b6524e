// All of a sample, in a dialog.

import { ask, byId, bytes, make, number } from "./api.js";
import { failure, inOrder, path } from "./card.js";

const MOST = 200000;
const MAPS = ["auto", "grey", "depth", "labels"];

export class Detail {
  constructor(shown, closed) {
    this.dialog = byId("detail");
    this.number = null;
    this.total = 0;
    this.shown = shown;
    byId("detail-previous").addEventListener("click", () => this.step(-1));
    byId("detail-next").addEventListener("click", () => this.step(1));
    byId("detail-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      this.number = null;
      byId("detail-body").replaceChildren(); // which stops what plays
      closed();
    });
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
  }

  async show(sample) {
    this.number = sample;
    byId("detail-key").textContent = `Sample ${number(sample)}`;
    if (!this.dialog.open) this.dialog.showModal();
    this.mark();
    try {
      const { samples: [found], total } = await ask("api/samples", { numbers: sample });
      if (this.number !== sample) return; // it was left meanwhile
      this.total = total;
      this.fill(found);
      this.shown(found);
    } catch (error) {
      if (this.number === sample) byId("detail-body").replaceChildren(failure(error.message));
    }
    this.mark();
  }

  mark() {
    byId("detail-previous").disabled = this.number === 0;
    byId("detail-next").disabled = this.total > 0 && this.number >= this.total - 1;
  }

  step(by) {
    const to = this.number + by;
    if (to >= 0 && (this.total === 0 || to < this.total)) this.show(to);
  }

  fill(sample) {
    byId("detail-key").textContent = sample.key || `Sample ${number(sample.number)}`;
    const facts = make("p", { class: "facts" },
      make("span", {}, `Sample ${number(sample.number)}`),
      make("span", {}, `number ${number(sample.ordinal)} of ${sample.shard}`),
      make("span", {}, `${bytes(sample.nbytes)} at byte ${number(sample.offset)}`),
      make("a", { href: `#sample=${sample.number}` }, "Link by number"),
      make("a", { href: `#key=${encodeURIComponent(sample.key)}` }, "Link by key"));
    byId("detail-body").replaceChildren(facts, ...inOrder(sample).map(({ field, index }) => this.field(sample, field, index)));
    byId("detail-body").scrollTop = 0;
  }

  field(sample, field, index) {
    const head = make("div", { class: "head" }, make("h3", {}, field.name), make("span", { class: "soft" }, bytes(field.nbytes)),
      make("a", { href: `field/${path(sample, index)}?download=1`, download: "" }, "Save"));
    const part = make("section", { class: "field", "aria-label": field.name }, head);
    if (field.kind === "audio" || field.kind === "video") part.append(this.player(sample, field, index));
    else if (["image", "raster", "array"].includes(field.kind)) this.picture(part, head, sample, field, index);
    else this.text(part, sample, field, index);
    return part;
  }

  player(sample, field, index) {
    const media = make(field.kind, { controls: true, preload: "metadata", src: `field/${path(sample, index)}`, "aria-label": `${field.name} of sample ${sample.key}` });
    media.addEventListener("error", () => media.after(failure("This browser cannot play it.")), { once: true });
    return media;
  }

  picture(part, head, sample, field, index) {
    const image = make("img", { alt: `${field.name} of sample ${sample.key || sample.number}` });
    const choice = make("select", {}, ...MAPS.map((map) => make("option", { value: map }, map)));
    const show = () => {
      const original = choice.value === "auto" && field.kind === "image" && field.type !== "image/png";
      image.src = original ? `field/${path(sample, index)}` : `image/${path(sample, index)}?size=1600&map=${choice.value}`;
    };
    image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth <= 64 && image.naturalHeight <= 64));
    image.addEventListener("error", () => image.remove());
    choice.addEventListener("change", () => { if (!image.isConnected) part.append(image); show(); });
    head.append(make("label", {}, "Colours ", choice));
    part.append(image);
    show();
    ask(`api/text/${path(sample, index)}`).then(
      (found) => head.insertBefore(make("span", { class: "soft" }, found.text), head.children[2]),
      (error) => part.append(failure(error.message)),
    );
  }

  text(part, sample, field, index) {
    const place = make("pre", { tabindex: "0" }, "…");
    part.append(place);
    ask(`api/text/${path(sample, index)}`, { most: MOST }).then(
      (found) => {
        place.textContent = found.text + (found.cut ? "\n…" : "");
        if (found.form === "text" && !found.text.trim().includes("\n")) place.className = "prose";
      },
      (error) => place.replaceWith(failure(error.message)),
    );
  }
}
