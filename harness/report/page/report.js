"use strict";
// Everything that people, models or data wrote goes into the page by textContent, never as markup.
(() => {
  const PAGE = 50;
  const byId = (id) => document.getElementById(id);
  const meta = JSON.parse(byId("meta").textContent);
  const several = meta.runs.length > 1;
  const chunks = new Map();
  let index = null;
  let shown = [];
  let page = 0;
  let search = 0;

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    for (const child of children) {
      if (child !== null && child !== undefined) made.append(child); // a string becomes a text node
    }
    return made;
  };
  const badge = (text, tone = "") => element("span", `badge ${tone}`, text);

  // ------------------------------------------------------------------------------------------------------- packed data

  const unpack = async (node) => {
    const bytes = Uint8Array.from(atob(node.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const chunk = (number) => {
    if (!chunks.has(number)) chunks.set(number, unpack(byId(`chunk-${number}`)));
    return chunks.get(number);
  };
  const dialogue = async (number) => (await chunk(Math.floor(number / meta.chunk)))[number % meta.chunk];
  const title = (number) => index.titles[number];

  // ---------------------------------------------------------------------------------------------------- what is listed

  const first = (ranks) => ranks.filter((rank) => rank > 0);
  const outcomes = {
    "": () => true,
    found: (n) => index.runs.some((run) => first(run.ranks[n]).length > 0),
    missed: (n) => index.runs.every((run) => first(run.ranks[n]).length === 0),
    f: (n) => index.runs.some((run) => run.flags[n].includes("f")),
    l: (n) => index.runs.some((run) => run.flags[n].includes("l")),
    i: (n) => index.runs.some((run) => run.flags[n].includes("i")),
  };
  const scores = (n) => index.runs.map((run) => run.score[n]).filter((score) => score !== null);
  const spread = (n) => (scores(n).length > 1 ? Math.max(...scores(n)) - Math.min(...scores(n)) : -1);
  const lowest = (n) => (scores(n).length ? Math.min(...scores(n)) : Infinity);
  const length = (n) => Math.max(...index.runs.map((run) => run.ranks[n].length));
  const orders = {
    order: null,
    score: (a, b) => lowest(a) - lowest(b) || a - b,
    differ: (a, b) => spread(b) - spread(a) || a - b,
    long: (a, b) => length(b) - length(a) || a - b,
  };

  const haystack = (entry, number, lists) => {
    const parts = [index.scenarios[number], ...entry.targets.map(title), ...entry.context.map((said) => said[1])];
    for (const run of entry.runs) {
      if (!run) continue;
      for (const turn of run.turns) {
        parts.push(turn.text, turn.user_text || "", turn.reasoning || "");
        if (lists) parts.push(...turn.items.map(title));
      }
      for (const fault of run.faults) parts.push(fault[2]);
    }
    return parts.join("\n").toLowerCase();
  };
  const words = () => byId("query").value.toLowerCase().split(/\s+/).filter(Boolean);

  const filter = async () => {
    const mine = ++search;
    const stop = byId("stop").value === "" ? null : Number(byId("stop").value);
    const passes = outcomes[byId("outcome").value];
    let found = [];
    for (let n = 0; n < index.scenarios.length; n++) {
      if ((stop === null || index.runs.some((run) => run.stop[n] === stop)) && passes(n)) found.push(n);
    }
    const wanted = words();
    if (wanted.length) {
      const lists = byId("lists").checked;
      const candidates = found;
      found = [];
      let looked = 0;
      for (const n of candidates) {
        const entry = await dialogue(n);
        if (mine !== search) return; // a newer search has begun
        const text = haystack(entry, n, lists);
        if (wanted.every((word) => text.includes(word))) found.push(n);
        if (++looked % 1000 === 0) byId("status").textContent = `searching… ${looked} of ${candidates.length}`;
      }
    }
    const compare = orders[byId("sort").value];
    if (compare) found.sort(compare);
    shown = found;
    page = 0;
    render();
  };

  const render = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    const all = index.scenarios.length;
    const count = (number) => number.toLocaleString("en");
    byId("status").textContent =
      shown.length === all ? `${count(all)} dialogues` : `${count(shown.length)} of ${count(all)} dialogues`;
    byId("list").replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(row));
    byId("place").textContent = `page ${page + 1} of ${count(pages)}`;
    byId("previous").disabled = page === 0;
    byId("next").disabled = page >= pages - 1;
  };

  const TONES = { accepted: "good", recommender_fault: "bad", simulator_fault: "bad", transport: "bad", leak: "warn", quit: "warn" };
  const stopName = (run, n) => (run.stop[n] < 0 ? null : index.stops[run.stop[n]]);
  const key = (number) => {
    const dot = element("span", "key");
    dot.style.background = `var(--s${(number % 8) + 1})`;
    return dot;
  };
  const outcome = (run, n, number) => {
    const stop = stopName(run, n);
    const made = element("span", "outcome");
    if (several) made.append(element("span", "", key(number), meta.runs[number]));
    if (stop === null) {
      made.append(badge("not played"));
      return made;
    }
    made.append(badge(stop.replaceAll("_", " "), TONES[stop] || ""));
    const trail = run.ranks[n].map((rank) => (rank ? `#${rank}` : "–")).join(" ");
    const told = element("span", "trail", trail || "no turn");
    told.title = "rank of the best target, turn by turn";
    made.append(told);
    if (run.score[n] !== null) made.append(element("span", "trail", `${meta.metric} ${run.score[n].toFixed(3)}`));
    if (run.flags[n].includes("f") && !stop.includes("fault")) made.append(badge("fault", "bad"));
    if (run.flags[n].includes("l") && stop !== "leak") made.append(badge("leak", "warn"));
    if (run.flags[n].includes("i")) made.append(badge("injection", "warn"));
    return made;
  };

  const row = (n) => {
    const made = element("details", "dialogue");
    const trial = index.trials[n] ? ` · trial ${index.trials[n] + 1}` : "";
    made.append(
      element("summary", "", element("span", "name", index.scenarios[n] + trial), ...index.runs.map((run, r) => outcome(run, n, r))),
    );
    made.addEventListener("toggle", async () => {
      if (!made.open || made.dataset.filled) return;
      made.dataset.filled = "yes";
      const body = element("div", "opened", "reading…");
      made.append(body);
      body.replaceChildren(...opened(await dialogue(n), n));
    });
    return made;
  };

  // ------------------------------------------------------------------------------------------------- an opened dialogue

  const marked = (text) => {
    const wanted = words();
    const made = document.createDocumentFragment();
    const low = text.toLowerCase();
    if (!wanted.length || low.length !== text.length) {
      made.append(text);
      return made;
    }
    let at = 0;
    while (at < text.length) {
      let next = -1;
      let size = 0;
      for (const word of wanted) {
        const place = low.indexOf(word, at);
        if (place >= 0 && (next < 0 || place < next)) [next, size] = [place, word.length];
      }
      if (next < 0) break;
      made.append(text.slice(at, next), element("mark", "", text.slice(next, next + size)));
      at = next + size;
    }
    made.append(text.slice(at));
    return made;
  };
  const said = (who, text) =>
    element("div", `said ${who}`, element("span", "who", who), text ? marked(text) : element("span", "quiet", "(no text)"));
  const fold = (name, inner, open = false) => {
    const made = element("details", "", element("summary", "", name), inner);
    made.open = open;
    return made;
  };

  const opened = (entry, n) => {
    const parts = [element("p", "", element("span", "quiet", "looked for: "), marked(entry.targets.map(title).join(", ")))];
    if (entry.context.length) {
      const box = element("div");
      for (const [who, text] of entry.context) box.append(said(who === "s" ? "seeker" : "recommender", text));
      const count = entry.context.length;
      parts.push(fold(`context: ${count} ${count === 1 ? "message" : "messages"} before the first turn`, box, count <= 3));
    }
    const sides = element("div", "sides");
    entry.runs.forEach((run, number) => sides.append(side(run, number, entry, n)));
    parts.push(sides);
    return parts;
  };

  const side = (run, number, entry, n) => {
    const made = element("div");
    if (several) made.append(element("h3", "", key(number), meta.runs[number]));
    if (!run) {
      made.append(element("p", "quiet", "not played in this run"));
      return made;
    }
    run.turns.forEach((turn, place) => made.append(played(turn, place, entry, index.runs[number].ranks[n][place])));
    for (const [blame, kind, message, turn, attempt] of run.faults) {
      const told = `${blame} fault in turn ${turn || "?"}, attempt ${attempt + 1}: ${kind}`;
      made.append(element("p", "", badge(told, "bad"), " ", marked(message)));
    }
    made.append(element("p", "", badge(`stopped: ${stopName(index.runs[number], n).replaceAll("_", " ")}`, TONES[stopName(index.runs[number], n)] || "")));
    return made;
  };

  const played = (turn, place, entry, rank) => {
    const head = element("h4", "", `turn ${place + 1}`);
    head.append(rank ? badge(`target at rank ${rank}`, "good") : badge("target not in the list"));
    for (const [name, told] of [["unknown", "out of catalogue"], ["repeated", "repeated"], ["dropped", "beyond K"]]) {
      if (turn[name]) head.append(badge(`${turn[name]} ${told}`, "warn"));
    }
    if (turn.injection) head.append(badge("recommender tries to instruct", "warn"));
    if (turn.user_injection) head.append(badge("seeker tries to instruct", "warn"));
    const made = element("div", "turn", head, said("recommender", turn.text));
    if (turn.items.length) made.append(ranked(turn, entry));
    if (turn.candidates) {
      const at = turn.candidates.findIndex((item) => entry.targets.includes(item));
      made.append(element("p", "quiet", `${turn.candidates.length} candidates retrieved, target ${at < 0 ? "not among them" : `at rank ${at + 1}`}`));
    }
    if (turn.reasoning) made.append(fold("reasoning", element("div", "reasoning", marked(turn.reasoning))));
    if (turn.user_text !== undefined || turn.action) {
      const box = said("seeker", turn.user_text || "");
      if (turn.action) box.firstChild.append(" · ", turn.action);
      made.append(box);
    }
    if (turn.leaks) made.append(element("p", "", badge(`leak: the seeker named ${turn.leaks.map(title).join(", ")}`, "warn")));
    return made;
  };

  const ranked = (turn, entry) => {
    const list = element("ol", "list");
    turn.items.forEach((item) => {
      const target = entry.targets.includes(item);
      const notes = [];
      if (target) notes.push("target");
      if (turn.accepted && turn.accepted.includes(item)) notes.push("accepted");
      const rejected = turn.rejected && turn.rejected.includes(item);
      const line = element("li", target ? "target" : rejected ? "rejected" : "", marked(title(item)));
      if (notes.length) line.append(` ★ ${notes.join(", ")}`);
      if (rejected) line.append(target ? ", turned down" : " ✕");
      list.append(line);
    });
    return turn.items.length > 20 ? fold(`${turn.items.length} items`, list) : list;
  };

  // -------------------------------------------------------------------------------------------------------------- start

  const turnTo = (step) => {
    page += step;
    render();
    byId("dialogues").scrollIntoView();
    byId("status").focus?.();
  };
  const start = async () => {
    index = await unpack(byId("index"));
    index.stops.forEach((stop, number) => {
      const made = element("option", "", stop.replaceAll("_", " "));
      made.value = number;
      byId("stop").append(made);
    });
    let waiting = 0;
    byId("query").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(filter, 200);
    });
    for (const id of ["stop", "outcome", "sort", "lists"]) byId(id).addEventListener("change", filter);
    byId("previous").addEventListener("click", () => turnTo(-1));
    byId("next").addEventListener("click", () => turnTo(1));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
      event.preventDefault();
      byId("query").focus();
    });
    await filter();
    document.documentElement.dataset.ready = "yes";
  };
  start().catch((error) => {
    byId("status").textContent = `this browser can't read the dialogues: ${error}`;
  });
})();
