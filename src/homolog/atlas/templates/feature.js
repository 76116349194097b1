// The page of one feature: the same in every run side by side, its neighbours, and what became of it.
"use strict";

(() => {
  const { about } = atlas;
  const { NOTES, SHOW, TITLES, heatSwitch, picture, scaleOf, unitOf } = inputsOf(about);
  const place = document.getElementById("feature");
  const tracks = about.series.reduce((sum, one) => sum + one.tracks, 0);
  const { noun } = about.shown;
  const features = tracks + about.series.reduce((sum, one) => sum + one.alone, 0);
  const linkTo = (id, text) => element("a", { href: `#${id}` }, text ?? `#${id}`);

  // Asks for the pages of all inputs that are shown, then gives each by its row.
  const namesOf = async (members) => {
    const size = about.shown.per_page;
    const units = members.flatMap((one) => [...one.top, ...one.sample].map(([row]) => unitOf(row)));
    const pages = [...new Set(units.map((unit) => Math.floor(unit / size)))];
    const loaded = new Map(await Promise.all(pages.map(async (page) => [page, await atlas.load(`inputs/${page}`)])));
    return (row) => loaded.get(Math.floor(unitOf(row) / size))[unitOf(row) % size];
  };
  const inputs = (title, kept, member, nameOf) => {
    const largest = Math.abs(member.top[0]?.[1] ?? 1) || 1;
    const shown = kept.map(([row, code, places, codes]) => SHOW[about.shown.kind](row, code, nameOf(row), { places, codes }, largest));
    return element("section", {}, element("h3", {}, title), element("div", { class: `inputs ${about.shown.kind}` }, ...shown));
  };

  // Numbers of a member

  const histogram = (member) => {
    const counts = member.histogram, half = counts.length > 32;
    const end = 2 ** member.exponent, most = Math.max(...counts, 1);
    const made = drawing(240, 74, `codes from ${half ? told(-end) : 0} to ${told(end)}, at most ${most} ${noun} in a bin`);
    const width = 240 / counts.length;
    counts.forEach((count, index) => {
      if (!count) return;
      const height = Math.max(1, 56 * count / most);
      mark(made, "rect", { x: index * width, y: 58 - height, width: width * 0.85, height, class: "bar" });
    });
    mark(made, "line", { x1: 0, x2: 240, y1: 58.5, y2: 58.5, class: "axis" });
    mark(made, "text", { x: 0, y: 71 }, half ? told(-end) : "0");
    mark(made, "text", { x: 240, y: 71, "text-anchor": "end" }, told(end));
    return made;
  };
  const effects = (member, limit) => {
    const order = member.effect.map((_, index) => index);
    const shown = order.length <= 12 ? order
      : order.sort((a, b) => Math.abs(member.effect[b]) - Math.abs(member.effect[a])).slice(0, 12);
    const line = 14, label = shown.map((one) => `${one}: ${told(member.effect[one])}, by chance ${told(member.null[one])}`);
    const made = drawing(240, shown.length * line, `added to the logits by class: ${label.join("; ")}`);
    const x = (value) => 130 + 100 * Math.max(-1, Math.min(1, value / limit));
    shown.forEach((one, index) => {
      const y = index * line, end = x(member.effect[one]);
      mark(made, "text", { x: 8, y: y + 11 }, logitName(one, about.names));
      mark(made, "rect", { x: Math.min(130, end), y: y + 2, width: Math.abs(end - 130), height: line - 4,
        class: member.effect[one] < 0 ? "bar lowers" : "bar raises" });
      const chance = x(member.null[one]);
      if (!Number.isNaN(chance)) mark(made, "line", { x1: chance, x2: chance, y1: y + 1, y2: y + line - 1, class: "chance" });
    });
    mark(made, "line", { x1: 130, x2: 130, y1: 0, y2: shown.length * line, class: "axis" });
    return made;
  };

  // Of many logits, those that are raised and lowered most.
  const changes = (member, names) => {
    const rows = (kept) => kept.map(([one, change, chance]) => element("tr", {},
      ...[logitName(one, names), told(change), told(chance)].map((text) => element("td", {}, text))));
    const table = (title, kept) => element("table", { class: "plain changes" },
      element("thead", {}, element("tr", {}, ...[title, "adds", "by chance"].map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows(kept)));
    return element("section", {}, element("h3", {}, "Added to the logits"), table("raised most", member.raised.slice(0, 8)),
      table("lowered most", member.lowered.slice(0, 5)),
      element("p", { class: "note" }, `Largest change of any by chance: ${told(member.chance)}.`));
  };

  const facts = (pairs) => element("dl", { class: "facts" },
    ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

  const card = (member, index, series, limit, sheet, nameOf, names) => {
    const said = [["active on", `${member.active} of ${about.rows} ${noun}`]];
    if (member.similarity !== undefined) {
      said.unshift(["similarity", `${told(member.similarity)} (by chance ${told(series.link_level)})`],
        ["linked with", `${percent(member.support)} of the others`], ["p of its links", told(member.member_p_value)]);
    }
    const recovered = series.loss_recovered[member.run];
    if (!Number.isNaN(recovered)) said.push(["loss recovered", `${told(recovered)}, by its whole dictionary`]);
    // A long name breaks at its slash.
    const [model, seed] = about.runs[member.run].split("/");
    const parts = [element("h2", {}, `${model}/`, element("wbr"), seed ?? ""), element("p", { class: "latent" }, `latent ${member.latent}`), facts(said)];
    const made = (...more) => element("article", { class: "card", tabindex: "0", "aria-label": about.runs[member.run] }, ...parts, ...more);
    if (!member.active) return made(element("p", {}, `It is active on none of the held-out ${noun}.`));
    if (sheet) {
      const label = "mean gradient of the latent's pre-activation with respect to the input";
      parts.push(element("section", {}, element("h3", {}, "What raises it"),
        picture("maps", sheet.page, sheet.first + index, sheet.count, scaleOf(96), label)));
    }
    parts.push(inputs(TITLES.top, member.top, member, nameOf), inputs(TITLES.sample, member.sample, member, nameOf));
    parts.push(element("section", {}, element("h3", {}, "Codes, where it is active"), histogram(member)));
    if (member.raised) parts.push(changes(member, names));
    if (member.effect) parts.push(element("section", {}, element("h3", {}, "Added to each class's logit"), effects(member, limit)));
    return made();
  };

  // What became of it

  const KINDS = { retrained: "retrained", trained: "before to after training", "wider dictionary": "wider dictionary" };
  const became = (feature) => {
    if (!feature.fates.length) return null;
    const rows = feature.fates.map(([run, number, backward, outcome, others, similarity, p]) => {
      const change = about.changes[number];
      const other = backward ? change.before : change.after;
      const links = others.flatMap(([latent, id], index) => [index ? ", " : "", id < 0 ? `latent ${latent}` : linkTo(id, `latent ${latent}`)]);
      const cells = [
        `${about.runs[run]}, latent ${feature.members.find((one) => one.run === run).latent}`,
        backward ? "came from" : "became",
        `${other}${change.kind === "wider dictionary" ? `, ${backward ? change.decomposition_before : change.decomposition_after}` : ""}`,
        KINDS[change.kind] ?? change.kind,
        element("span", { class: `outcome ${outcome}` }, outcome),
        element("span", {}, ...(links.length ? links : ["none"])),
        told(similarity), told(p)];
      return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
    });
    const heads = ["this latent", "", "the other run", "change", "outcome", "its latents there", "best match", "p"];
    return element("section", {}, element("h2", {}, "What became of it, and where it came from"),
      element("p", {}, "A second, many-to-one pass. Kept: each the other's only match. Split: two latents or more come from it. " +
        "Merged: two or more went into it. Gone, born: no match above chance on either side. Matched: beside others, or one way."),
      element("div", { class: "scroll" }, element("table", { class: "plain" }, element("thead", {},
        element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))), element("tbody", {}, ...rows))));
  };

  // The page

  const summary = (id, row, list, series) => {
    const pairs = [["hook point", series.hook_point], ["decomposition", series.decomposition]];
    const found = list.found[row];
    if (id < tracks) {
      pairs.push(["runs", `${found} of ${about.runs.length}; of the latents ${percent(series.survival[found])} are in as many, ` +
        `by chance ${percent(series.null_survival[found])}`]);
      for (const [group, size] of Object.entries(about.groups)) {
        if (size < 2) continue;
        const low = list[`low ${group}`][row];
        const bound = Number.isNaN(low) ? "no exact bound: several runs of one of several bases" : `at least ${percent(low)} of such runs`;
        pairs.push([group, `${list[`in ${group}`][row]} of ${size}; ${bound}`]);
      }
      pairs.push(["similarity", `${told(list.similarity[row])} (by chance ${told(series.link_level)})`]);
      pairs.push(["adjusted p", `${told(list.adjusted_p_value[row])}; within ${about.within} ${told(list.conditional_adjusted_p_value[row])}`]);
    } else {
      pairs.push(["runs", `only ${about.runs[list.run[row]]}: in no track`]);
    }
    pairs.push(["rate", `${percent(list.rate[row])} of ${about.rows} held-out ${noun}`]);
    if (!Number.isNaN(list.effect[row])) {
      pairs.push(["effect", `${told(list.effect[row])} on ${logitName(list.effect_class[row], about.names)} (by chance ${told(list.null_effect[row])})`]);
    }
    return facts(pairs);
  };

  const nearby = (feature, series) => element("section", {}, element("h2", {}, "Nearest tracks"),
    element("p", {}, `By the cosine of directions in the runs that both are in; 95 % of random directions stay below ${told(series.near_by_chance)}.`),
    feature.near.length ? element("ol", { class: "near" }, ...feature.near.map(([id, cosine]) =>
      element("li", {}, linkTo(id), ` ${told(cosine)}`))) : element("p", {}, "There are none."));

  const show = async () => {
    const id = Number(location.hash.slice(1));
    if (!Number.isInteger(id) || id < 0 || id >= features) {
      place.replaceChildren(element("p", {}, `There is no feature ${location.hash}: choose one from a list.`));
      return;
    }
    const page = Math.floor(id / about.per_page);
    const name = id < tracks ? "tracks" : "alone", row = id < tracks ? id : id - tracks;
    const [items, list] = await Promise.all([atlas.load(`items/${page}`), atlas.load(name)]);
    const feature = items[id % about.per_page], series = about.series[list.series[row]];
    const [nameOf, names] = await Promise.all([namesOf(feature.members), feature.members[0].raised ? atlas.load("names") : {}]);
    const before = items.slice(0, id % about.per_page).reduce((sum, one) => sum + one.members.length, 0);
    const all = items.reduce((sum, one) => sum + one.members.length, 0);
    const sheet = about.maps ? { page, first: before, count: all } : null;
    const limit = Math.max(...feature.members.flatMap((one) => [...(one.effect ?? []), ...(one.null ?? [])]).filter((one) => !Number.isNaN(one)).map(Math.abs), 1e-9);
    const step = (to, text, key) => (to >= 0 && to < features ? element("a", { href: `#${to}`, rel: key }, text) : element("span"));
    document.title = `#${id}: ${about.experiment}`;
    place.replaceChildren(
      element("nav", { class: "steps", "aria-label": "Features" }, step(id - 1, "← before", "prev"), step(id + 1, "next →", "next")),
      element("h1", {}, id < tracks ? `Feature #${id}` : `Latent #${id}, which did not come back`),
      summary(id, row, list, series),
      element("p", { class: "note" }, noteOn(feature, series)),
      heatSwitch(() => place.querySelector(".cards")) ?? "",
      element("div", { class: `cards ${about.shown.kind}` }, ...feature.members.map((one, index) => card(one, index, series, limit, sheet, nameOf, names))),
      nearby(feature, series),
      became(feature) ?? "");
    document.documentElement.dataset.ready = String(id);
  };
  const noteOn = (feature, series) => {
    const parts = [NOTES[about.shown.kind]];
    if (about.maps) {
      parts.push("What raises it: the gradient of its pre-activation with respect to the input, a mean over up to 32 random active " +
        "inputs; orange raises it, purple lowers it, each picture over its own largest value.");
    }
    if (!series.signed) parts.push("The sign of a latent means nothing in this decomposition, and may differ between runs.");
    if (feature.members[0].effect) {
      parts.push("Logits are centred over classes; a bar is what the latent adds where it is active, a mean over the same " +
        "inputs, and the grey mark what as much of another latent's direction would add.");
    }
    if (feature.members[0].raised) {
      parts.push("Logits are centred over all; shown is what the latent adds where it is active, the logit with it minus that with its code set to 0 there: a " +
        "mean over some of the random active tokens, and beside it what as much of another latent's direction would add.");
    }
    return parts.join(" ");
  };

  window.addEventListener("hashchange", show);
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest(".scroll, .cards, input, select")) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    document.querySelector(rel ? `.steps a[rel=${rel}]` : "none")?.click();
  });
  show();
})();
