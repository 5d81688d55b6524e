// The grid: a page of samples, of all, or of those that were found.

import { ask, byId, make, number } from "./api.js";
import { failure, fillTexts, makeCard } from "./card.js";

const PAGE = { small: 60, medium: 24, large: 12 };

function said(what, text, count, failed, end) {
  const none = what === "search" ? `No key contains “${text}”` : `No sample fits “${text}”`;
  const some = what === "search" ? `Samples whose key contains “${text}”` : `Samples where “${text}”`;
  return `${count ? some : none}${failed ? ` (of ${number(failed)} it cannot be told)` : ""}${end}`;
}

export class Grid {
  constructor(open) {
    this.open = open;
    this.first = 0;
    this.total = 0;
    this.only = "";
    this.size = "medium";
    this.search = null; // { what, text, pages: [where each page begins], at: the page that is shown, after }
    this.asking = null;
    this.place = byId("grid");
  }

  get page() {
    return PAGE[this.size];
  }

  // Shows the samples from `first` on; with `focus`, the one of that number gets it.
  async show(first, focus = null) {
    this.search = null;
    byId("found").textContent = "";
    this.first = Math.max(0, Math.min(first, Math.max(0, this.total - 1)));
    await this.load({ first: this.first, count: this.page }, focus);
  }

  // The samples whose key contains a text (`what` is "search"), or for which a condition holds ("where").
  async find(what, text, at = 0, pages = [0]) {
    const signal = this.begin();
    const numbers = [];
    let after = pages[at];
    let failed = 0;
    this.search = { what, text, pages, at, after: null };
    try {
      do {
        const found = await ask(`api/${what}`, { [what === "search" ? "text" : what]: text, after, count: this.page - numbers.length }, signal);
        numbers.push(...found.numbers);
        after = found.after;
        failed += found.failed ?? 0;
        const more = after !== null && numbers.length < this.page;
        byId("found").textContent = said(what, text, numbers.length, failed, more ? `; looked at ${number(after)} of ${number(this.total)} …` : ".");
        if (found.numbers.length) await this.load({ numbers: numbers.join(",") }, null, signal);
      } while (what === "where" && after !== null && numbers.length < this.page);
      this.search = { what, text, pages: after === null ? pages : [...pages.slice(0, at + 1), after], at, after };
      if (!numbers.length) this.place.replaceChildren();
      this.mark();
    } catch (error) {
      byId("found").textContent = "";
      this.fail(error);
    }
  }

  begin() {
    this.asking?.abort();
    this.asking = new AbortController();
    return this.asking.signal;
  }

  async load(parameters, focus = null, signal = this.begin()) {
    this.place.setAttribute("aria-busy", "true");
    try {
      const { samples, total } = await ask("api/samples", parameters, signal);
      this.total = total;
      this.place.className = this.size;
      this.place.replaceChildren(...samples.map((sample) => makeCard(sample, this.size, this.only, this.open)));
      this.place.removeAttribute("aria-busy");
      this.mark();
      if (focus !== null) (this.button(focus) ?? this.buttons()[0])?.focus();
      await fillTexts(this.place, samples, signal);
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    if (error.name === "AbortError") return; // something else was asked for meanwhile
    this.place.removeAttribute("aria-busy");
    this.place.replaceChildren(make("li", {}, failure(error.message)));
  }

  // Where we are: buttons, slider, text.
  mark() {
    const last = Math.min(this.first + this.page, this.total);
    byId("previous").disabled = this.search ? this.search.at === 0 : this.first === 0;
    byId("next").disabled = this.search ? this.search.after === null : last >= this.total;
    const slider = byId("position");
    slider.max = Math.max(0, this.total - 1);
    slider.disabled = this.search !== null;
    if (document.activeElement !== slider) slider.value = this.first;
    slider.setAttribute("aria-valuetext", `sample ${this.first} of ${this.total}`);
    byId("jump-number").max = Math.max(0, this.total - 1);
    byId("where").textContent = this.search
      ? `page ${this.search.at + 1}`
      : this.total ? `${number(this.first)} – ${number(last - 1)} of ${number(this.total)}` : "no samples";
  }

  async turn(pages, focus = null) {
    if (this.search) {
      const at = this.search.at + pages;
      if (at < 0 || at >= this.search.pages.length) return;
      await this.find(this.search.what, this.search.text, at, this.search.pages);
      if (focus !== null) this.buttons()[0]?.focus();
      return;
    }
    const first = this.first + pages * this.page;
    if (first >= this.total || (pages < 0 && this.first === 0)) return;
    await this.show(Math.max(0, first), focus === null ? null : Math.max(0, first));
  }

  get busy() {
    return this.place.hasAttribute("aria-busy");
  }

  buttons() {
    return [...this.place.querySelectorAll("button.open")];
  }

  button(sample) {
    return this.place.querySelector(`button.open[data-number="${sample}"]`);
  }

  // Moves the focus by so many columns and rows; over the edge to the next page.
  async move(columns, rows) {
    const buttons = this.buttons();
    const at = buttons.indexOf(document.activeElement);
    if (at < 0) return buttons[0]?.focus();
    const top = buttons[0].closest("li").offsetTop;
    const wide = buttons.filter((button) => button.closest("li").offsetTop === top).length;
    const to = at + columns + rows * wide;
    if (to >= 0 && to < buttons.length) return buttons[to].focus();
    if (this.search) return undefined;
    const sample = this.first + to;
    if (sample < 0 || sample >= this.total) return undefined;
    return this.show(Math.max(0, this.first + (to < 0 ? -this.page : this.page)), sample);
  }
}
