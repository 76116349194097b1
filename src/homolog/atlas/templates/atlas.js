// What all pages share: data that scripts hand over (a page from disk may load nothing else), and how numbers are told.
"use strict";

const atlas = {
  taken: new Map(),
  waiting: new Map(),

  // Called by every file in data/.
  take(name, value) {
    this.taken.set(name, value);
  },

  // The value of data/<name>.js, loaded when it is first asked for.
  load(name) {
    if (this.taken.has(name)) return Promise.resolve(this.taken.get(name));
    if (!this.waiting.has(name)) {
      this.waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => resolve(this.taken.get(name));
        script.onerror = () => reject(new Error(`data/${name}.js is missing: was the whole folder copied?`));
        document.head.append(script);
      }));
    }
    return this.waiting.get(name);
  },

  get about() {
    return this.taken.get("about");
  },
};

// An element with attributes and children; text is always text, never markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A number with three significant digits, a dash where there is none.
function told(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 0.001 || size >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

function percent(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return `${Number((100 * value).toPrecision(value < 0.1 ? 2 : 3))} %`;
}

// What a logit is of: a token, or a class by its number and its name, as far as these are known.
function logitName(number, names) {
  const name = names[number];
  if (name === undefined) return String(number);
  return atlas.about.shown.kind === "text" ? `“${name}”` : `${number} (${name})`;
}

// The tables' own dark colours follow a class, the rest follows the media query.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const followScheme = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", followScheme);
followScheme();
