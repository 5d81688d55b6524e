// What the server is asked. All addresses are relative: the token is in the path.

export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  let response;
  try {
    response = await fetch(query ? `${path}?${query}` : path, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: has it been stopped?");
  }
  const found = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  if (!response.ok) throw new Error(found.error ?? `The server answered ${response.status}.`);
  return found;
}

// An element with attributes; children are texts, which are never read as HTML, or elements.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

const whole = new Intl.NumberFormat("en");
export const number = (value) => whole.format(value);

export function amount(value) {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) ? number(value) : new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);
}

export function bytes(value) {
  let shown = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (shown < 1000) return unit === "B" ? `${shown} B` : `${shown.toFixed(1)} ${unit}`;
    shown /= 1000;
  }
  return `${shown.toFixed(1)} TB`;
}
