// The lists: a table over all features, sorted, searched and filtered by DataTables; rows are drawn a page at a time.
"use strict";

(async () => {
  const table = document.getElementById("list");
  const data = atlas.taken.get(table.dataset.list);
  const { about } = atlas;
  const { jQuery } = await window.tables;

  const seriesOf = (row) => about.series[data.series[row]];
  const runs = about.runs.length;
  const several = (values) => new Set(values).size > 1;
  const isKnown = (values) => values && values.some((value) => !Number.isNaN(value));

  // What a column shows and what it is sorted by; both of a row's number.
  const number = (title, values, hint, show = told) => ({
    title, hint, sort: (row) => values[row], show: (row) => show(values[row]), numeric: true,
  });
  const perSeries = (title, name, hint) => ({
    title, hint, numeric: true, sort: (row) => seriesOf(row)[name], show: (row) => told(seriesOf(row)[name]),
  });
  const words = (title, of) => ({ title, sort: of, show: of });
  const chance = (row, name) => (seriesOf(row)[name] ?? [])[data.found[row]];

  const columns = [{
    title: "feature",
    sort: (row) => data.id[row],
    show: (row) => (data.found[row] > 1 ? `#${data.id[row]}` : `#${data.id[row]}: latent ${data.latent[row]}`),
    link: true,
  }];
  if (several(about.series.map((one) => one.hook_point))) columns.push(words("hook point", (row) => seriesOf(row).hook_point));
  if (several(about.series.map((one) => one.decomposition))) {
    columns.push(words("decomposition", (row) => seriesOf(row).decomposition));
  }
  if (data.words.some((one) => one.length)) {
    const counted = (row) => (one, place) => `${one.replace(/^ +$/, "␣")} ×${data.counts[row][place]}`;
    const of = (row) => (data.counts[row].length ? ` of ${data.counts[row].at(-1)}` : "");
    const said = (row) => data.words[row].map(counted(row)).join(" · ") + of(row);
    columns.push({ ...words("strongest on", said), hint: "what is most frequent among the strongest inputs of its members", clipped: true });
  }
  if (table.dataset.list === "tracks") {
    columns.push({
      title: `runs of ${runs}`, numeric: true, first: true, sort: (row) => data.found[row], show: (row) => String(data.found[row]),
    });
    columns.push({
      title: "by chance", hint: "share of latents that reach as many runs on shuffled inputs", numeric: true,
      sort: (row) => chance(row, "null_survival"), show: (row) => percent(chance(row, "null_survival")),
    });
    for (const [group, size] of Object.entries(about.groups)) {
      const found = data[`in ${group}`], low = data[`low ${group}`];
      // Of a single run there is nothing to bound.
      if (size < 2 || !found) continue;
      columns.push({
        title: group, hint: `runs of ${size}, and the 95 % lower bound on the share`, numeric: true,
        sort: (row) => found[row] + (Number.isNaN(low[row]) ? 0 : low[row] / 10),
        show: (row) => `${found[row]} of ${size}${Number.isNaN(low[row]) ? "" : `, ≥ ${percent(low[row])}`}`,
      });
    }
    columns.push({ ...number("similarity", data.similarity, "mean correlation of codes on held-out inputs"), first: true });
    columns.push(perSeries("by chance", "link_level", "what 95 % of best matches on shuffled inputs stay below"));
    columns.push(number("p", data.adjusted_p_value, "against shuffled inputs, adjusted for all tracks"));
    if (isKnown(data.conditional_adjusted_p_value)) {
      columns.push(number(`p within ${about.within}`, data.conditional_adjusted_p_value, `inputs shuffled within ${about.within}`));
    }
  } else {
    columns.push(words("run", (row) => about.runs[data.run[row]]));
    columns.push({
      title: "nearest", numeric: true, first: true, sort: (row) => data.near_cosine[row],
      show: (row) => (data.near[row] < 0 ? "–" : `${told(data.near_cosine[row])}, #${data.near[row]}`),
    });
    columns.push(perSeries("by chance", "near_by_chance", "what 95 % of random directions stay below"));
  }
  columns.push(number("rate", data.rate, `share of held-out ${about.shown.noun} on which it is active`, percent));
  if (isKnown(data.effect)) {
    columns.push({
      title: "effect", hint: "on the centred logit of the class that it changes most", numeric: true,
      sort: (row) => Math.abs(data.effect[row]),
      show: (row) => Number.isNaN(data.effect[row]) ? "–" : `${data.effect[row] > 0 ? "+" : ""}${told(data.effect[row])} on ${logitName(data.effect_class[row], about.names)}`,
      searched: about.shown.kind === "text",
    });
    columns.push(number("by chance", data.null_effect, "as much of another latent's direction"));
  }

  // DataTables takes markup: what is in it as text comes out as text.
  const markup = (content) => element("span", {}, content).innerHTML;
  // Sorting puts what isn't known last, whichever way.
  const known = (value) => (typeof value === "number" && Number.isNaN(value) ? null : value);
  const definitions = columns.map((column, index) => ({
    title: markup(column.title),
    name: `${index}`,
    className: `${column.numeric ? "dt-body-right dt-head-right" : "dt-body-left dt-head-left"}${column.clipped ? " clipped" : ""}`,
    orderSequence: column.numeric && column.title !== "p" ? ["desc", "asc"] : ["asc", "desc"],
    type: column.numeric || column.link ? "num" : "string",
    searchable: !column.numeric || column.searched === true,
    data: (row, purpose) => {
      if (purpose === "sort" || purpose === "type") return known(column.sort(row));
      if (purpose === "filter") return column.show(row);
      return markup(column.link ? element("a", { href: `feature.html#${data.id[row]}` }, column.show(row)) : column.show(row));
    },
  }));

  const filters = document.getElementById("filters");
  const choice = (label, values, of) => {
    const options = [...new Set(values)];
    if (options.length < 2) return () => true;
    const select = element("select", {}, element("option", { value: "" }, "all"));
    for (const option of options) select.append(element("option", { value: option }, String(option)));
    filters.append(element("label", {}, `${label} `, select));
    return (row) => !select.value || String(of(row)) === select.value;
  };
  const limit = (label, of, atLeast, step, highest) => {
    const input = element("input", { type: "number", min: 0, max: highest, step, inputmode: "decimal" });
    filters.append(element("label", {}, `${label} `, input));
    return (row) => input.value === "" || (atLeast ? of(row) >= Number(input.value) : of(row) <= Number(input.value));
  };
  const rows = data.id.map((_, row) => row);
  const kept = [
    choice("hook point", about.series.map((one) => one.hook_point), (row) => seriesOf(row).hook_point),
    choice("decomposition", about.series.map((one) => one.decomposition), (row) => seriesOf(row).decomposition),
  ];
  if (table.dataset.list === "tracks") {
    kept.push(limit("runs ≥", (row) => data.found[row], true, 1, runs));
    kept.push(limit("similarity ≥", (row) => data.similarity[row], true, 0.05, 1));
    kept.push(limit("p ≤", (row) => data.adjusted_p_value[row], false, 0.01, 1));
  } else {
    kept.push(choice("run", about.runs, (row) => about.runs[data.run[row]]));
  }
  const classes = isKnown(data.effect) ? data.effect_class.filter((one) => one >= 0).sort((a, b) => a - b) : [];
  // Of tokens there are too many to choose from: they are searched.
  if (about.shown.kind !== "text") kept.push(choice("effect on class", [...new Set(classes)], (row) => data.effect_class[row]));

  const listed = jQuery(table).DataTable({
    data: rows,
    columns: definitions,
    deferRender: true,
    autoWidth: false,
    pageLength: 25,
    lengthMenu: [25, 100, 500],
    order: columns.flatMap((column, index) => (column.first ? [[index, "desc"]] : [])),
    layout: { topStart: "search", topEnd: "info", bottomStart: "pageLength", bottomEnd: "paging" },
    language: { search: "Search ", info: "_TOTAL_ of _MAX_ features", infoFiltered: "", infoEmpty: "none of _MAX_ features",
      lengthMenu: "_MENU_ a page", zeroRecords: "No feature is like that.", emptyTable: "There are none." },
    headerCallback: (head) => {
      head.querySelectorAll("th").forEach((cell, index) => { if (columns[index]?.hint) cell.title = columns[index].hint; });
    },
  });
  listed.search.fixed("filters", (_, row) => kept.every((keep) => keep(row)));
  filters.addEventListener("input", () => listed.draw());
  filters.addEventListener("submit", (event) => event.preventDefault());
  listed.draw();

  const quality = document.getElementById("quality");
  for (const one of about.series) {
    const known = one.loss_recovered.filter((value) => !Number.isNaN(value));
    if (!quality || !known.length) continue;
    const name = [several(about.series.map((each) => each.hook_point)) ? one.hook_point : "", one.decomposition].join(" ").trim();
    const range = known.length > 1 ? `${told(Math.min(...known))} to ${told(Math.max(...known))}` : told(known[0]);
    quality.append(element("li", {}, `${name}: ${range}, in ${known.length} of ${one.loss_recovered.length} runs`));
    quality.parentElement.hidden = false;
  }
  const silent = document.getElementById("silent");
  if (silent) {
    const counts = about.series.map((one) => `${one.decomposition} ${Math.max(...one.silent)}`);
    silent.textContent = `Latents that no held-out input makes active aren't listed (at most, in a run: ${counts.join(", ")}).`;
  }
  document.documentElement.dataset.ready = "yes";
})();
