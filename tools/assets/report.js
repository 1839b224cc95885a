"use strict";
// The report: the facts (JSON in the page, or sent by tools/report.py --serve) shown. What a run has a say in is put
// into the page as text, by `el`, never as markup.
(() => {
  const PAGE = 50; // rows of the table at once
  const SHOWN_MOST = 12; // curves at once
  const WITHIN = 1.2816; // standard deviations that hold 80 % of a normal distribution
  const PALETTES = {
    light: ["#1a7f37", "#0550ae", "#bc4c00", "#8250df", "#0e7c86", "#bf3989", "#7d4e00", "#57606a"],
    dark: ["#3fb950", "#79c0ff", "#ffa657", "#d2a8ff", "#56d4dd", "#ff9bce", "#e3b341", "#b1bac4"],
  };
  const DASHES = [[], [6, 4], [2, 3]];
  const MARKS = { keep: "●", discard: "•", crash: "×", open: "…" };

  let facts = JSON.parse(document.getElementById("facts").textContent);
  let byNumber = new Map();
  let selected = null; // number of the experiment that is shown
  let shown = []; // numbers of the runs whose curves are shown
  let running = null; // the run in progress, as the server tells it
  let page = 0;
  const charts = { progress: null, curves: null };

  // -- small helpers ----------------------------------------------------------------------------------

  const $ = (id) => document.getElementById(id);

  function el(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") made.addEventListener("click", value);
      else if (value !== null && value !== false) made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
      child instanceof Node ? child : String(child)));
    return made;
  }

  const fill = (id, ...children) => $(id).replaceChildren(...children);
  const said = (text) => el("bdi", {}, text); // whose direction is its own
  const id = (number) => String(number).padStart(4, "0");
  const bpb = (value, digits = 6) => (value === null ? "–" : value.toFixed(digits));
  const signed = (value, digits = 4) => (value === null ? "–" : (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(digits));
  const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const moment = (unix) => (unix ? new Date(unix * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;

  function hours(seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  }

  function short(number) {
    for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (Math.abs(number) >= size) return `${Number((number / size).toPrecision(3))}${unit}`;
    }
    return String(Math.round(number * 10) / 10);
  }

  // -- heading and numbers ----------------------------------------------------------------------------

  function heading() {
    const decided = facts.counts.keep + facts.counts.discard + facts.counts.crash;
    fill("title", `autoresearch ${facts.tag}`);
    const parts = [plural(decided, "experiment"), `${facts.counts.keep} kept`, `${facts.counts.discard} discarded`, `${facts.counts.crash} crashed`];
    if (facts.budget) parts.push(`${facts.budget} a run`, `profile ${facts.profile} on ${facts.device}`);
    fill("subtitle", parts.join(" · "));
    fill("goal", ...(facts.goal ? ["Goal: ", said(facts.goal)] : []));
    fill("made", `Made ${moment(facts.made)} by tools/report.py.`);
    $("damaged").hidden = !facts.damaged.length;
    fill("damaged-list", ...facts.damaged.map((name) => el("li", {}, said(name))));
    $("verified").hidden = !facts.verified.length;
    fill("verified-list", ...facts.verified.map((line) => el("li", {}, said(line))));
  }

  function numbers() {
    const { best, noise, racing, spend } = facts;
    const tile = (name, value, more) => el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("span", {}, more) : null));
    const tiles = [];
    if (best) {
      tiles.push(tile("best val_bpb", bpb(best.mean), `experiment ${id(best.number)}, ${plural(best.runs, "run")}`));
      const gain = best.baseline - best.mean;
      tiles.push(tile("below the baseline", signed(-gain), `${percent(gain / best.baseline, 2)} of ${bpb(best.baseline, 4)}`));
      if (best.believed !== null) tiles.push(tile("believed gain", bpb(best.believed, 4), `± ${bpb(best.believed_sd, 4)}, luck taken off`));
    } else {
      tiles.push(tile("best val_bpb", "–", "no baseline yet"));
    }
    if (noise) tiles.push(tile("noise of a run", bpb(noise.sigma, 4), noise.runs ? `measured on ${noise.runs} runs` : "a prior, not measured yet"));
    const pace = facts.health.find((one) => one.name === "pace");
    if (pace) tiles.push(tile("pace", pace.value.replace(" experiments", ""), `target ${pace.target}`));
    if (spend.busy_seconds) {
      const idle = spend.idle_seconds / (spend.busy_seconds + spend.idle_seconds);
      tiles.push(tile("device time", hours(spend.busy_seconds), `${percent(idle)} idle between runs`));
    }
    if (racing.stopped || racing.controls) tiles.push(tile("stopped by their curve", racing.stopped, `false kills: ${racing.false_kills} of ${racing.controls} controls`));
    if (spend.steps) tiles.push(tile("model tokens", short(spend.tokens), spend.dollars ? `$${spend.dollars.toFixed(2)} in ${spend.steps} steps` : plural(spend.steps, "step")));
    fill("numbers", ...tiles);
  }

  // -- charts -----------------------------------------------------------------------------------------

  function axes(x, y, format) {
    const common = { stroke: css("--quiet"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    return [
      { ...common, label: x, labelSize: 22, size: 34, values: format ? (_, ticks) => ticks.map(format) : (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) },
      { ...common, label: y, labelSize: 22, size: 62, values: (_, ticks) => ticks.map((tick) => Number(tick.toPrecision(6))) },
    ];
  }

  function size(place, least, most) {
    const width = Math.max(place.clientWidth, 260);
    return { width, height: Math.round(Math.min(Math.max(width * 0.45, least), most)) };
  }

  function drawn(name, options, data) {
    const place = $(`${name}-chart`);
    if (charts[name]) charts[name].destroy();
    place.replaceChildren();
    charts[name] = new uPlot({ ...options, ...size(place, 260, 480) }, data, place);
  }

  function empty(name, words) {
    if (charts[name]) charts[name].destroy();
    charts[name] = null;
    fill(`${name}-chart`, el("p", { class: "empty" }, words));
  }

  function progress() {
    const trials = facts.trials;
    if (!trials.length) return empty("progress", "No experiment yet.");
    const xs = trials.map((one) => one.number);
    const steps = new Map(facts.steps.map((step) => [step.number, step.val_bpb]));
    const levels = new Map(facts.levels.map((level) => [level.number, level]));
    let step = null, level = null;
    const data = [xs, [], [], [], [], []];
    for (const one of trials) {
      step = steps.get(one.number) ?? step;
      level = levels.get(one.number) ?? level;
      data[1].push(level ? level.mean + WITHIN * level.sd : null);
      data[2].push(level ? level.mean - WITHIN * level.sd : null);
      data[3].push(step);
      data[4].push(one.state === "discard" ? one.val_bpb : null);
      data[5].push(one.state === "keep" ? one.val_bpb : null);
    }
    const stairs = uPlot.paths.stepped({ align: 1 });
    const none = () => null;
    const many = trials.length > 300;
    const points = (colour, diameter) => ({ paths: none, points: { show: true, size: diameter, fill: colour, stroke: colour, width: 0 } });
    const last = xs[xs.length - 1];
    drawn("progress", {
      legend: { show: false },
      scales: {
        x: { time: false, range: (_, low, high) => (low === high || high >= last && low <= xs[0] ? [-last * 0.01 - 0.4, last * 1.01 + 0.4] : [low, high]) },
        y: { range: (_, low, high) => (zoomed(charts.progress) && low !== null ? pad(low, high) : facts.span) },
      },
      axes: axes("experiment", "val_bpb"),
      bands: [{ series: [1, 2], fill: css("--band") }],
      series: [
        {},
        { paths: stairs, points: { show: false }, stroke: "transparent" },
        { paths: stairs, points: { show: false }, stroke: "transparent" },
        { paths: stairs, points: { show: false }, stroke: css("--keep"), width: 2 },
        points(css("--discard"), many ? 4 : 7),
        points(css("--keep"), many ? 7 : 10),
      ],
      cursor: { points: { show: false }, y: false, drag: { x: true, y: false } },
      hooks: { draw: [extras], setCursor: [tip], ready: [clickable] },
    }, data);
    legend();
  }

  const zoomed = (chart) => chart !== null && chart.scales.x.min > facts.trials[0].number;
  const pad = (low, high) => [low - 0.08 * (high - low || 1e-3), high + 0.08 * (high - low || 1e-3)];

  // What has no place on the scale, at the upper edge; and a ring round what is selected.
  function extras(chart) {
    const { ctx, bbox } = chart;
    const unit = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = 1.6 * unit;
    for (const one of facts.trials) {
      const x = chart.valToPos(one.number, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const top = bbox.top + 7 * unit;
      if (one.state === "crash") cross(ctx, x, top, 3.5 * unit, css.crash);
      else if (one.stopped !== null) bar(ctx, x, top, 4 * unit, css.stop);
      else if (one.val_bpb !== null && one.val_bpb > chart.scales.y.max) triangle(ctx, x, top, 3.5 * unit, css.discard);
    }
    const one = byNumber.get(selected);
    if (one) {
      const x = chart.valToPos(one.number, "x", true);
      const inside = one.val_bpb !== null && one.val_bpb <= chart.scales.y.max && one.val_bpb >= chart.scales.y.min;
      const y = inside ? chart.valToPos(one.val_bpb, "y", true) : bbox.top + 7 * unit;
      ctx.strokeStyle = css.focus;
      ctx.lineWidth = 2.5 * unit;
      ctx.beginPath();
      ctx.arc(x, y, 8 * unit, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.restore();
  }

  function cross(ctx, x, y, r, colour) {
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r);
    ctx.moveTo(x - r, y + r); ctx.lineTo(x + r, y - r);
    ctx.stroke();
  }

  function bar(ctx, x, y, r, colour) {
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.moveTo(x, y - r); ctx.lineTo(x, y + r);
    ctx.stroke();
  }

  function triangle(ctx, x, y, r, colour) {
    ctx.fillStyle = colour;
    ctx.beginPath();
    ctx.moveTo(x, y - r); ctx.lineTo(x + r, y + r); ctx.lineTo(x - r, y + r);
    ctx.fill();
  }

  function legend() {
    const item = (mark, kind, words) => el("li", {}, el("b", { class: kind, "aria-hidden": "true" }, mark), words);
    const above = facts.trials.filter((one) => one.state === "discard" && one.val_bpb > facts.span[1]).length;
    const stopped = facts.trials.filter((one) => one.stopped !== null).length;
    fill("progress-legend",
      item("●", "keep", "kept"), item("━", "keep", "incumbent, as measured"), item("▒", "keep", "incumbent, as believed without luck (80 %)"),
      item("•", "discard", "discarded"),
      ...(above ? [item("▲", "discard", `above this scale (${above})`)] : []),
      ...(stopped ? [item("|", "stop", `stopped by its curve (${stopped})`)] : []),
      ...(facts.counts.crash ? [item("×", "crash", `crashed (${facts.counts.crash})`)] : []));
  }

  function tip(chart) {
    const place = chart.over;
    let box = place.querySelector(".tip");
    const at = chart.cursor.idx;
    if (at === null || at === undefined || chart.cursor.left < 0) {
      if (box) box.remove();
      return;
    }
    const one = facts.trials[at];
    if (!box) place.append((box = el("div", { class: "tip" })));
    box.replaceChildren(el("strong", {}, `${id(one.number)} ${told(one)}`), said(one.description),
      ...(one.gain !== null ? [el("br"), `believed gain ${signed(one.gain)} ± ${bpb(one.gain_sd, 4)}`] : []));
    const left = chart.cursor.left;
    box.style.left = `${Math.max(Math.min(left + 14, place.clientWidth - box.offsetWidth - 4), 0)}px`;
    if (left + 14 + box.offsetWidth > place.clientWidth) box.style.left = `${Math.max(left - box.offsetWidth - 14, 0)}px`;
    box.style.top = `${Math.max(Math.min(chart.cursor.top + 14, place.clientHeight - box.offsetHeight - 4), 0)}px`;
  }

  function clickable(chart) {
    let from = 0;
    chart.over.addEventListener("pointerdown", (event) => (from = event.clientX));
    chart.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - from) < 4 && chart.cursor.idx !== null) select(facts.trials[chart.cursor.idx].number);
    });
  }

  function keys(event) {
    const trials = facts.trials;
    if (!trials.length || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = trials.findIndex((one) => one.number === selected);
    const keep = (from, by) => {
      for (let i = from + by; i >= 0 && i < trials.length; i += by) if (trials[i].state === "keep") return i;
      return from;
    };
    const to = {
      ArrowLeft: () => at - 1, ArrowRight: () => at + 1, ArrowUp: () => keep(at, -1), ArrowDown: () => keep(at, 1),
      Home: () => 0, End: () => trials.length - 1, Enter: () => at,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    select(trials[Math.min(Math.max(to(), 0), trials.length - 1)].number, event.key === "Enter");
  }

  // -- one experiment ---------------------------------------------------------------------------------

  function told(one) {
    const parts = [one.state];
    if (one.provisional) parts.push("(provisional)");
    if (one.undone) parts.push("(a provisional keep, undone)");
    if (one.stopped !== null) parts.push(`(stopped at ${percent(one.stopped)})`);
    if (one.val_bpb !== null) parts.push(`val_bpb ${bpb(one.val_bpb)}`);
    return parts.join(" ");
  }

  function select(number, go = false) {
    if (!byNumber.has(number)) return;
    selected = number;
    const one = byNumber.get(number);
    fill("progress-at", `experiment ${id(number)}, ${told(one)}: `, one.description);
    experiment();
    mark();
    if (charts.progress) charts.progress.redraw(false);
    if (go) {
      $("experiment-title").scrollIntoView();
      $("experiment-title").focus({ preventScroll: true });
    }
  }

  function experiment() {
    const one = byNumber.get(selected);
    if (!one) {
      fill("experiment-title", "Experiment");
      return fill("experiment-body", el("p", { class: "quiet" }, "None yet."));
    }
    fill("experiment-title", `Experiment ${id(one.number)}: `, said(one.description));
    const verdict = el("p", {}, el("span", { class: `verdict ${one.state}` }, `${MARKS[one.state]} ${told(one)}`),
      ` · commit ${one.commit.slice(0, 12)} · ${one.state === "open" ? "begun" : "decided"} ${moment(one.at)}`,
      one.composite === null ? "" : ` · framework ${one.composite} of 100, ${one.band}`);
    const parts = [verdict];
    if (one.reasons.length) parts.push(el("h3", {}, "Why"), el("ul", {}, ...one.reasons.map((why) => el("li", {}, said(why)))));
    if (one.note) parts.push(el("h3", {}, "What the researcher noted"), el("p", {}, said(one.note)));
    if (one.marks.length) parts.push(el("h3", {}, "Framework"), pre(one.marks, "marks", "Framework, mark by mark", () => ""));
    parts.push(el("h3", {}, `What changed in train.py (+${one.added} −${one.removed})`));
    const kind = (line) => ({ "+": "add", "-": "del", "@": "hunk" })[line[0]] ?? "";
    parts.push(one.diff ? pre(one.diff.split("\n"), "diff", "Difference in train.py", kind)
      : el("p", { class: "quiet" }, one.baseline ? "Nothing: it is the baseline." : "No difference can be shown: its commit is not in this repository."));
    parts.push(el("h3", {}, "Runs"), runs(one));
    const around = facts.trials.findIndex((other) => other.number === one.number);
    const button = (words, at) => el("button", { type: "button", disabled: facts.trials[at] ? null : "", onclick: () => select(facts.trials[at].number) }, words);
    parts.push(el("div", { class: "controls" }, button("previous", around - 1), button("next", around + 1),
      el("button", { type: "button", onclick: () => compare(one) }, "curve against the incumbent's")));
    fill("experiment-body", ...parts);
  }

  function pre(lines, name, label, kind) {
    return el("pre", { class: name, tabindex: "0", role: "region", "aria-label": label },
      ...lines.map((line) => el("span", { class: kind(line) }, line || " ")));
  }

  function runs(one) {
    const head = ["run", "of", "seed", "outcome", "val_bpb", "seconds", "tokens", "steps", "memory", "MFU", "machine"];
    const numeric = new Set(["val_bpb", "seconds", "tokens", "steps", "memory", "MFU", "seed"]);
    const row = (run) => {
      const values = [
        id(run.number), run.side, run.seed, run.outcome + (run.reason ? `: ${run.reason}` : ""), bpb(run.val_bpb), run.seconds.toFixed(0),
        short(run.tokens), run.steps, `${(run.memory_mb / 1024).toFixed(2)} GiB`, run.mfu_percent ? `${run.mfu_percent.toFixed(1)} %` : "–",
        run.machine === null ? "–" : `M${run.machine + 1}`,
      ];
      if (run.disturbed) values[3] += ` (does not count: ${run.disturbed})`;
      return el("tr", {}, ...values.map((value, i) => el("td", { class: numeric.has(head[i]) ? "n" : head[i] === "outcome" ? "long" : "" }, said(value))));
    };
    return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Runs of this experiment" }, el("table", {},
      el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col", class: numeric.has(name) ? "n" : "" }, name)))),
      el("tbody", {}, ...one.runs.map(row))));
  }

  // -- curves -----------------------------------------------------------------------------------------

  const curveOf = (number) => (running && running.curve && running.number === number ? running.curve : facts.curves.find((one) => one.run === number));

  function firstShown() {
    const numbers = [facts.trials[0]?.runs[0]?.number, byNumber.get(facts.best?.number)?.runs[0]?.number, facts.trials.at(-1)?.runs.at(-1)?.number];
    return [...new Set(numbers)].filter((number) => number !== undefined && curveOf(number));
  }

  function compare(one) {
    const best = byNumber.get(facts.best?.number);
    show([...new Set([...(best ? [best.runs[0].number] : []), ...one.runs.map((run) => run.number)])]);
    $("curves-title").scrollIntoView();
  }

  function show(numbers) {
    shown = numbers.filter(curveOf).slice(-SHOWN_MOST);
    curves();
  }

  function owner(number) {
    return facts.trials.find((one) => one.runs.some((run) => run.number === number));
  }

  function curveOptions() {
    const add = $("curves-add");
    const options = facts.curves.filter((one) => !shown.includes(one.run)).reverse().map((one) =>
      el("option", { value: one.run }, `${id(one.run)} ${(byNumber.get(one.experiment)?.description ?? "").slice(0, 60)}`));
    add.replaceChildren(el("option", { value: "" }, options.length ? "choose a run" : "none left"), ...options);
    $("curves-more").hidden = !facts.more_curves;
    fill("curves-more", `The curves of ${plural(facts.more_curves, "older run")} that came to nothing are left out of this page; they are in runs/${facts.tag}/.`);
  }

  function colours(at) {
    const palette = PALETTES[dark() ? "dark" : "light"];
    return { stroke: palette[at % palette.length], dash: DASHES[Math.floor(at / palette.length) % DASHES.length] };
  }

  function curves() {
    const by = document.querySelector("input[name=curves-x]:checked").value;
    const chosen = shown.map(curveOf);
    curveOptions();
    fill("curves-table", ...chosen.map((one, at) => curveRow(one, at)));
    if (!chosen.length) return empty("curves", "No curve is chosen.");
    const data = uPlot.join(chosen.map((one) => increasing(one[by], one.loss)));
    // A loss begins far above where it goes: what the first fifth shows would hide the rest.
    const late = chosen.flatMap((one) => one.loss.slice(Math.min(Math.ceil(one.loss.length * 0.2), one.loss.length - 1))).filter((loss) => loss !== null);
    const range = late.length ? pad(Math.min(...late), Math.max(...late)) : [0, 1];
    drawn("curves", {
      legend: { show: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => (charts.curves && low !== null && by === charts.curves.by && charts.curves.scales.x.min > data[0][0] ? pad(low, high) : range) } },
      axes: axes(by === "tokens" ? "training tokens" : "seconds of the budget", "training loss (nats a token)", by === "tokens" ? short : short),
      series: [{}, ...chosen.map((one, at) => ({ ...colours(at), width: 2, spanGaps: true, points: { show: one.loss.length === 1 } }))],
      cursor: { drag: { x: true, y: false }, points: { size: 6 } },
      hooks: { setCursor: [(chart) => curveTip(chart, chosen, by)] },
    }, data);
    charts.curves.by = by;
  }

  // uPlot wants each x once, and growing.
  function increasing(xs, ys) {
    const kept = [[], []];
    xs.forEach((x, i) => {
      if (!kept[0].length || x > kept[0].at(-1)) {
        kept[0].push(x);
        kept[1].push(ys[i]);
      }
    });
    return kept;
  }

  function curveTip(chart, chosen, by) {
    let box = chart.over.querySelector(".tip");
    if (!(chart.cursor.left >= 0)) {
      if (box) box.remove();
      return;
    }
    if (!box) chart.over.append((box = el("div", { class: "tip" })));
    const x = chart.posToVal(chart.cursor.left, "x");
    const lines = chosen.map((one, at) => {
      const i = one[by].findIndex((value) => value >= x);
      return i < 0 || one.loss[i] === null ? null : el("div", {}, swatch(at), ` ${id(one.run)}: ${one.loss[i].toFixed(4)}`);
    });
    box.replaceChildren(el("strong", {}, `${short(x)} ${by}`), ...lines.filter((line) => line));
    const left = chart.cursor.left;
    const far = left + 14 + box.offsetWidth > chart.over.clientWidth;
    box.style.left = `${Math.max(far ? left - box.offsetWidth - 14 : left + 14, 0)}px`;
    box.style.top = "6px";
  }

  function swatch(at) {
    const made = el("b", { "aria-hidden": "true" }, ["━", "╍", "┅"][Math.floor(at / 8) % 3]);
    made.style.color = colours(at).stroke;
    return made;
  }

  function curveRow(one, at) {
    const trial = owner(one.run) ?? byNumber.get(one.experiment);
    const place = (share) => one.loss[Math.min(Math.max(Math.ceil(one.loss.length * share) - 1, 0), one.loss.length - 1)];
    const cell = (value) => el("td", { class: "n" }, value === null || value === undefined ? "–" : value);
    const loss = (share) => (place(share) === null ? "not a number" : place(share).toFixed(4));
    const live = running && running.number === one.run;
    return el("tr", {}, el("th", { scope: "row" }, swatch(at), ` ${id(one.run)}`),
      el("td", { class: "long" }, live ? "in progress: " : "", said(trial ? trial.description : "")), cell(short(one.tokens.at(-1))), cell(one.seconds.at(-1).toFixed(0)),
      cell(loss(0.25)), cell(loss(0.5)), cell(loss(1)),
      el("td", {}, el("button", { type: "button", class: "link", "aria-label": `hide the curve of run ${id(one.run)}`, onclick: () => show(shown.filter((number) => number !== one.run)) }, "hide")));
  }

  // -- the table of experiments -----------------------------------------------------------------------

  function found() {
    const words = $("find").value.toLowerCase().split(/\s+/).filter((word) => word);
    const state = $("state").value;
    const matching = facts.trials.filter((one) => {
      if (state && one.state !== state) return false;
      if (!words.length) return true;
      const text = `${id(one.number)} ${one.commit} ${one.description} ${one.note} ${one.theme} ${one.reasons.join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const last = (value) => (value === null ? Infinity : value);
    const orders = {
      new: (a, b) => b.number - a.number, old: (a, b) => a.number - b.number,
      best: (a, b) => last(a.val_bpb) - last(b.val_bpb) || a.number - b.number,
      gain: (a, b) => last(a.gain === null ? null : -a.gain) - last(b.gain === null ? null : -b.gain) || a.number - b.number,
    };
    return matching.sort(orders[$("order").value]);
  }

  function table() {
    const rows = found();
    const pages = Math.max(Math.ceil(rows.length / PAGE), 1);
    page = Math.min(Math.max(page, 0), pages - 1);
    fill("found", `${rows.length} of ${plural(facts.trials.length, "experiment")}`);
    fill("where", `page ${page + 1} of ${pages}`);
    $("earlier").disabled = page === 0;
    $("later").disabled = page >= pages - 1;
    fill("rows", ...rows.slice(page * PAGE, (page + 1) * PAGE).map(row));
    mark();
  }

  function row(one) {
    const open = el("button", { type: "button", class: "link", "aria-label": `show experiment ${id(one.number)}`, onclick: () => select(one.number, true) }, id(one.number));
    return el("tr", { "data-number": one.number },
      el("th", { scope: "row" }, open),
      el("td", { class: `verdict ${one.state}` }, `${MARKS[one.state]} ${one.state}${one.provisional ? "?" : ""}${one.stopped !== null ? ` at ${percent(one.stopped)}` : ""}`),
      el("td", { class: "long" }, said(one.description), ...(one.note ? [el("br"), el("span", { class: "quiet" }, said(one.note))] : [])),
      el("td", { class: "n" }, bpb(one.val_bpb)),
      el("td", { class: "n" }, one.gain === null ? "–" : `${signed(one.gain)} ± ${bpb(one.gain_sd, 4)}`),
      el("td", { class: "n" }, one.composite === null ? "–" : one.composite),
      el("td", {}, said(one.theme)));
  }

  function mark() {
    for (const one of $("rows").children) one.setAttribute("aria-current", String(Number(one.dataset.number) === selected));
  }

  // -- trust, themes, campaign ------------------------------------------------------------------------

  const HELD = new Map([[true, ["✓", "keep", "passed"]], [false, ["✗", "crash", "failed"]], [null, ["–", "quiet", "not applied"]]]);

  function trust() {
    fill("layers", ...(facts.layers.length ? facts.layers.map((layer) => {
      const [sign, kind, word] = HELD.get(layer.held);
      return el("li", {}, el("b", { class: kind, role: "img", "aria-label": word }, sign), el("strong", {}, layer.name), ": ", said(layer.told));
    }) : [el("li", { class: "quiet" }, "There is no incumbent yet.")]));
    fill("health", ...facts.health.map((one) => {
      const [sign, kind, word] = one.met === null ? ["–", "quiet", "nothing to hold against it"] : one.met ? ["✓", "keep", "yes"] : ["✗", "crash", "no"];
      return el("tr", {}, el("th", { scope: "row" }, one.name, el("br"), el("span", { class: "quiet" }, one.told)), el("td", {}, one.value), el("td", {}, one.target),
        el("td", {}, el("b", { class: kind, role: "img", "aria-label": word }, sign)));
    }));
    const { noise, racing } = facts;
    const lines = [];
    if (noise) lines.push(`Noise of one run: sigma ${bpb(noise.sigma, 4)} bpb, ${noise.runs ? `measured on ${noise.runs} runs` : "a prior, not measured yet"}; ${bpb(noise.low, 4)} to ${bpb(noise.high, 4)} with 80 %.`);
    lines.push(`Racing: ${plural(racing.stopped, "run")} stopped by ${racing.stopped === 1 ? "its" : "their"} curve.`);
    lines.push(racing.controls ? `False kills: ${racing.false_kills} of ${plural(racing.controls, "control")} (runs that would have been stopped, and were finished to see).`
      : "False kills: not known, no run that would have been stopped was finished to see.");
    fill("noise", ...lines.map((line) => el("li", {}, line)));
  }

  function themes() {
    if (!facts.themes.length) return fill("themes-list", el("p", { class: "quiet" }, "None yet."));
    fill("themes-list", ...facts.themes.map((theme) => {
      const best = theme.best === null ? "" : `, best believed gain ${signed(theme.best)}`;
      const box = el("details", {}, el("summary", {}, el("strong", {}, said(theme.name)), ` ${plural(theme.tried, "experiment")}, ${theme.kept} kept${best}`));
      // Thousands of lines that nobody opens would slow the page.
      box.addEventListener("toggle", () => {
        if (!box.open || box.childElementCount > 1) return;
        const items = theme.dead.map((number) => byNumber.get(number)).map((one) => el("li", {},
          el("button", { type: "button", class: "link", "aria-label": `show experiment ${id(one.number)}`, onclick: () => select(one.number, true) }, id(one.number)), " ",
          el("span", { class: one.state }, one.state), one.gain === null ? "" : ` ${signed(one.gain)}`, ": ", said(one.description),
          one.note ? el("span", { class: "quiet" }, " – ", said(one.note)) : null));
        box.append(items.length ? el("ul", {}, ...items) : el("p", { class: "quiet" }, "No dead end."));
      });
      return box;
    }));
  }

  function campaign() {
    const pairs = [["begun", moment(facts.begun)], ["budget", facts.budget || "–"], ["profile", facts.profile || "–"], ["device", facts.device || "–"], ["bench", facts.bench ? `commit ${facts.bench}` : "–"]];
    facts.machines.forEach((machine, at) => pairs.push([`machine M${at + 1}`, Object.entries(machine).map(([name, value]) => `${name} ${value}`).join(", ")]));
    fill("pinned", ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, said(value))]));
  }

  // -- live -------------------------------------------------------------------------------------------

  function listen() {
    $("live").hidden = false;
    const source = new EventSource(`events?seen=${encodeURIComponent(facts.live)}`);
    const state = (words) => { if ($("live-state").textContent !== words) fill("live-state", words); };
    source.onopen = () => state("Live: this page follows the campaign.");
    source.onerror = () => state("Not connected: the server is gone or busy. The page tries again by itself.");
    source.addEventListener("facts", (event) => {
      facts = JSON.parse(event.data);
      all();
    });
    source.addEventListener("run", (event) => follow(JSON.parse(event.data)));
    follow(null);
  }

  function follow(run) {
    const before = running;
    running = run;
    fill("live-run", ...(run ? [el("strong", {}, `Run ${id(run.number)} `), said(run.message), `: ${run.progress}`] : ["No run is in progress."]));
    $("live-share").value = run ? run.share : 0;
    $("live-share").hidden = !run;
    if (!run || !run.curve) return;
    if (!before || before.number !== run.number) {
      const best = byNumber.get(facts.best?.number)?.runs[0]?.number;
      return show([...new Set([...(best === undefined ? [] : [best]), ...shown, run.number])].slice(-SHOWN_MOST));
    }
    if (shown.includes(run.number)) curves();
  }

  // -- all of it --------------------------------------------------------------------------------------

  function all() {
    byNumber = new Map(facts.trials.map((one) => [one.number, one]));
    if (!byNumber.has(selected)) selected = facts.best ? facts.best.number : facts.trials.at(-1)?.number ?? null;
    for (const name of ["crash", "stop", "discard", "focus"]) css[name] = css(`--${name}`);
    shown = shown.filter(curveOf);
    if (!shown.length) shown = firstShown();
    heading(); numbers(); progress(); experiment(); curves(); table(); trust(); themes(); campaign();
  }

  function redraw() {
    for (const name of ["crash", "stop", "discard", "focus"]) css[name] = css(`--${name}`);
    progress();
    curves();
  }

  function begin() {
    all();
    $("progress-chart").addEventListener("keydown", keys);
    for (const name of ["find", "state", "order"]) $(name).addEventListener("input", () => { page = 0; table(); });
    $("earlier").addEventListener("click", () => { page -= 1; table(); });
    $("later").addEventListener("click", () => { page += 1; table(); });
    for (const radio of document.querySelectorAll("input[name=curves-x]")) radio.addEventListener("change", curves);
    $("curves-add").addEventListener("change", (event) => { if (event.target.value) show([...shown, Number(event.target.value)]); });
    $("curves-clear").addEventListener("click", () => show([]));
    $("curves-keeps").addEventListener("click", () => show(facts.trials.filter((one) => one.state === "keep").map((one) => one.runs[0].number)));
    $("curves-newest").addEventListener("click", () => show(facts.curves.slice(-10).map((one) => one.run)));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    let width = 0;
    new ResizeObserver(() => {
      const now = $("progress-chart").clientWidth;
      if (now === width) return;
      width = now;
      for (const [name, chart] of Object.entries(charts)) if (chart) chart.setSize(size($(`${name}-chart`), 260, 480));
    }).observe($("progress-chart"));
    if (facts.live) listen();
  }

  begin();
})();
