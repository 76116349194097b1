// How inputs are shown: pictures, with a latent's codes over their places; text, with those of its tokens; or numbers.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

// A drawing; without a label it only decorates what says the same in words.
function drawing(width, height, label) {
  const made = document.createElementNS(SVG, "svg");
  const spoken = label === undefined ? { "aria-hidden": "true" } : { role: "img", "aria-label": label };
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, ...spoken })) made.setAttribute(name, value);
  return made;
}

function mark(parent, tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
}

const inputsOf = (about) => {
  const { shown } = about;
  // A row is told by one number: that of its input, and which place of it the row is.
  const unitOf = (row) => Math.floor(row / shown.places);
  const placeOf = (row) => row % shown.places;
  const percentOf = (code, largest) => Math.round(100 * Math.min(1, Math.abs(code) / largest));

  // Pictures

  // A place on a sheet of images, ten in a row.
  const picture = (folder, sheet, index, count, scale, label) => {
    const [height, width] = shown.shape;
    const lines = Math.ceil(count / 10);
    const made = element("span", { class: "picture", role: "img", "aria-label": label, title: label });
    made.style.width = `${width * scale}px`;
    made.style.height = `${height * scale}px`;
    made.style.backgroundImage = `url(data/${folder}/${sheet}.png)`;
    made.style.backgroundSize = `${10 * width * scale}px ${lines * height * scale}px`;
    made.style.backgroundPosition = `${-(index % 10) * width * scale}px ${-Math.floor(index / 10) * height * scale}px`;
    return made;
  };
  const scaleOf = (pixels) => {
    const scale = pixels / Math.max(...shown.shape);
    return scale > 1 ? Math.round(scale) : scale;
  };
  const heat = (place, { places, codes }, largest) => {
    const [rows, columns, before] = shown.grid;
    const made = drawing(columns, rows);
    made.setAttribute("preserveAspectRatio", "none");
    const cell = (at, attributes) => mark(made, "rect",
      { x: (at - before) % columns, y: Math.floor((at - before) / columns), width: 1, height: 1, ...attributes });
    places.forEach((at, index) => {
      if (at < before) return;
      cell(at, { class: codes[index] < 0 ? "heat lowers" : "heat raises", opacity: 0.75 * percentOf(codes[index], largest) / 100 });
    });
    if (place >= before) for (const layer of ["own below", "own"]) cell(place, { class: layer });
    return made;
  };
  const whereOf = (place) => {
    if (!shown.grid) return `place ${place}`;
    const [, columns, before] = shown.grid;
    return place < before ? `the place before the grid (${place})`
      : `row ${Math.floor((place - before) / columns)}, column ${(place - before) % columns}`;
  };
  const asImage = (row, code, [name, label], around, largest) => {
    const unit = unitOf(row), sheet = Math.floor(unit / shown.per_sheet), several = shown.places > 1;
    const count = Math.min(shown.per_sheet, shown.inputs - sheet * shown.per_sheet);
    const where = several ? `, ${whereOf(placeOf(row))}` : "";
    const said = `input ${name}${label === null ? "" : `, class ${label}`}${where}, code ${told(code)}`;
    const image = picture("images", sheet, unit % shown.per_sheet, count, scaleOf(several ? 80 : 48), said);
    if (several && shown.grid) image.append(heat(placeOf(row), around, largest));
    const under = several && (!shown.grid || placeOf(row) < shown.grid[2]) ? `${told(code)}, at ${placeOf(row)}` : told(code);
    return element("figure", { class: "input" }, image, element("figcaption", {}, under));
  };

  // Text

  // Characters before and behind the token that stay in sight when a line is closed.
  const BEFORE = 60, BEHIND = 30;
  const snippet = (tokens, place) => {
    const step = (at, by, room) => {
      while (at + by >= 0 && at + by < tokens.length && room > 0) room -= tokens[at += by].length;
      return at;
    };
    return [step(place, -1, BEFORE), step(place, 1, BEHIND)];
  };
  const token = (text, code, largest, said, classes) => {
    // Spaces alone would be seen as little as their colour.
    const space = /^ +$/.test(text);
    const named = [code < 0 ? "lowers" : "raises", ...classes, ...(space ? ["space"] : [])];
    const made = element("span", { class: named.join(" "), title: said }, space ? text.replaceAll(" ", "·") : text);
    if (code) made.style.setProperty("--share", `${percentOf(code, largest)}%`);
    return made;
  };
  const line = (tokens, begins, place, codeAt, largest, first, last) => {
    const documents = new Map(begins);
    let document = [...begins].reverse().find(([at]) => at <= first)?.[1];
    const parts = [];
    for (let at = first; at <= last; at += 1) {
      if (documents.has(at)) document = documents.get(at);
      const code = codeAt.get(at) ?? 0;
      const far = at < place - shown.before || at > place + shown.behind;
      const said = `${JSON.stringify(tokens[at])}, place ${at}${document === undefined ? "" : ` of its sequence, document ${document}`}: ${
        far ? "its code isn't kept" : `code ${told(code)}`}`;
      const classes = [...(at === place ? ["middle"] : []), ...(far ? ["far"] : []), ...(documents.has(at) && at > 0 ? ["begins"] : [])];
      parts.push(token(tokens[at], code, largest, said, classes));
    }
    return [first > 0 ? element("span", { class: "cut" }, "… ") : null, ...parts,
      last < tokens.length - 1 ? element("span", { class: "cut" }, " …") : null];
  };
  const asText = (row, code, [, tokens, begins], { places, codes }, largest) => {
    const place = placeOf(row), [first, last] = snippet(tokens, place);
    const codeAt = new Map(places.map((at, index) => [at, codes[index]]));
    const said = element("span", { class: "code" }, told(code));
    const short = line(tokens, begins, place, codeAt, largest, first, last);
    if (first === 0 && last === tokens.length - 1) return element("div", { class: "line", dir: "auto" }, said, ...short);
    const summary = element("summary", {}, said, ...short);
    const made = element("details", { class: "line", dir: "auto" }, summary);
    made.addEventListener("toggle", () => {
      if (made.children.length === 1) {
        made.append(element("div", { class: "whole" }, ...line(tokens, begins, place, codeAt, largest, 0, tokens.length - 1)));
      }
    });
    return made;
  };

  // Numbers

  const asNumbers = (row, code, [name, label, more]) => element("p", { class: "named" },
    `${told(code)}: input ${name}`, label === null ? "" : `, class ${label}`,
    ...more.map(([key, value]) => `, ${key} ${value}`));

  // What strongest inputs and active ones at random are, and a switch for what lies over pictures.
  const each = { images: " of a picture", text: " of a sequence" }[shown.kind];
  const TITLES = shown.places > 1
    ? { top: `Strongest ${shown.noun}, at most one${each}`, sample: `Active ${shown.noun} at random` }
    : { top: "Strongest inputs", sample: "Active inputs at random" };
  const heatSwitch = (over) => {
    if (!shown.grid) return null;
    const box = element("input", { type: "checkbox", checked: "" });
    box.addEventListener("input", () => over().classList.toggle("bare", !box.checked));
    return element("label", { class: "switch" }, box, " codes over pictures");
  };

  const SHOW = { images: asImage, text: asText, numbers: asNumbers };
  const onPlaces = shown.grid
    ? "Over each picture lie the latent's codes at all of its places (orange raises, blue is below 0; the deeper, the larger, " +
      "as a share of its strongest); the framed place is the row that is shown, and under it stands its code."
    : "Under each picture stand its code and the place that is active.";
  const NOTES = {
    images: `All inputs are held out. ${shown.places > 1 ? onPlaces : "Under each stands its code."}`,
    text: "All tokens are held out, and stand in the sequence that the networks read. The underlined token is the one that is shown, its " +
      "code before the line; the deeper a token's colour, the larger the latent's code there, as a share of its strongest. " +
      "… : open the line for the rest of the sequence. A bar stands where another document begins.",
    numbers: "All inputs are held out. Before each stands its code.",
  };
  return { NOTES, SHOW, TITLES, heatSwitch, picture, scaleOf, unitOf };
};
