// The page: a frame a check over server-sent events, the lines of the plots from /history.
// What comes from the service is only ever set as text.

import { ago, clock, format } from "./format.js";
import { Plot } from "./plot.js";

const find = (id) => document.getElementById(id);
const shared = { time: null, redraw: () => plots.forEach((plot) => plot.draw()) };
const plots = new Map();
const lines = new Map(); // plot id -> Map of line name -> values, as long as `times`
let times = [];
let frame = null;
let source = null;
let isPaused = false;
let lastFrameAt = 0;
let retry = 0;
const MOST_LINES = 8;

const make = (tag, { text, ...properties } = {}, ...children) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

const shown = (value, unit) => {
  const exact = value === null || value === undefined ? "" : String(value);
  const element = make("span", { text: format(value, unit), title: exact });
  element.dataset.value = exact;
  return element;
};

const cell = (label, ...children) => {
  const element = make("td", {}, ...(children.length > 0 ? children : ["\u2013"]));
  element.dataset.label = label;
  return element;
};

const number = (label, value, unit) => {
  const element = cell(label, shown(value, unit));
  element.className = "number";
  return element;
};

// Put these children in the place of those that differ: what stays keeps a reader's selection, and is
// not read aloud again.
const settle = (parent, children) => {
  children.forEach((child, i) => {
    const old = parent.children[i];
    if (old === undefined) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
};

const spelled = (labels) =>
  Object.entries(labels)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

// --- sections ----------------------------------------------------------------------------------

const drawKeyMetrics = (metrics) => {
  const box = find("key-metrics");
  for (const metric of metrics) {
    const id = `key-${metric.name}`;
    let tile = find(id);
    if (tile === null) {
      tile = make("article", { id, className: "tile" }, make("h2"), make("p", { className: "value" }), make("p", { className: "target" }));
      box.append(tile);
    }
    const [title, value, target] = tile.children;
    title.textContent = metric.title;
    value.replaceChildren(shown(metric.value, metric.unit));
    const state = metric.ok === null ? "idle" : metric.ok ? "good" : "bad";
    tile.dataset.state = state;
    const [mark, words] = { idle: ["\u2013", "no traffic"], good: ["\u2713", "met"], bad: ["\u25b2", "missed"] }[state];
    const bound = `target ${metric.better === "below" ? "<" : ">"}\u00a0${format(metric.target, metric.unit)}`;
    target.replaceChildren(`${mark} ${bound}`, make("span", { className: "hidden", text: `, ${words}` }));
  }
};

const drawAlerts = (alerts, leftOut, past) => {
  const box = find("alerts");
  const items = alerts.map((alert) => {
    const item = make("article", { className: "alert" });
    item.dataset.severity = alert.severity ?? "warning";
    item.dataset.rule = alert.rule;
    const about = spelled(alert.labels);
    item.append(
      make("h3", { text: `\u25b2 ${alert.rule}` }),
      make("p", { text: about, className: "about" }),
      make("p", { className: "figures" }, make("code", { text: alert.metric }), " is ", shown(alert.value, alert.unit), ", bound ", shown(alert.bound, alert.unit)),
      make("p", { className: "since", text: `since ${clock(alert.since)}${alert.silenced ? ", silenced" : ""}` }),
    );
    return item;
  });
  if (leftOut > 0) items.push(make("p", { className: "more", text: `and ${leftOut} more` }));
  if (items.length === 0) items.push(make("p", { className: "calm", text: "\u2713 No alerts" }));
  settle(box, items);
  find("past").hidden = past.length === 0;
  settle(
    find("past-alerts"),
    past.map((alert) =>
      make("li", {}, make("time", { text: clock(alert.since) }), make("span", { text: `${alert.rule} ${alert.active ? "began" : "ended"}` }), make("span", { className: "about", text: spelled(alert.labels) })),
    ),
  );
};

const meter = (name, used, most, text) => {
  const share = most > 0 ? Math.min(1, used / most) : null;
  const bar = make("div", { className: "meter", role: "meter" });
  bar.setAttribute("aria-label", name);
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", String(most > 0 ? most : 1));
  bar.setAttribute("aria-valuenow", String(used ?? 0));
  bar.setAttribute("aria-valuetext", text);
  const fill = make("i");
  fill.style.width = `${100 * (share ?? 0)}%`;
  bar.append(fill);
  return bar;
};

const levelOf = (cache, level) => {
  const most = level.max_entries;
  const entries = format(level.entries, "count") + (most ? ` of ${format(most, "count")}` : "");
  const row = make("div", { className: "level" });
  row.dataset.level = level.level;
  const sizes = make("span", { className: "entries" });
  sizes.append(shown(level.entries, "count"));
  if (most) sizes.append(" of ", shown(most, "count"));
  row.append(make("b", { text: level.level.toUpperCase() }), meter(`${cache} ${level.level}, entries`, level.entries, most, entries), sizes);
  if (level.bytes !== null) row.append(shown(level.bytes, "bytes"));
  if (level.p99 !== null && level.p99 > 0) {
    const within = make("span", { className: "within" });
    within.append(shown(level.p50, "s"), " / ", shown(level.p99, "s"));
    row.append(within);
  }
  return row;
};

const rowHead = (row) => {
  const head = make("th", { scope: "row" }, make("span", { className: "name", text: row.name, title: row.name }));
  if (row.instance) head.append(make("small", { text: ` ${row.instance}` }));
  return head;
};

const ROWS = {
  caches: (row) => [
    rowHead(row),
    number("Hit rate", row.hit_ratio, "ratio"),
    number("Lookups", row.lookups, "1/s"),
    number("Evictions", row.evictions, "1/s"),
    cell("Levels", ...row.levels.map((level) => levelOf(row.name, level))),
  ],
  workers: (row) => [
    rowHead(row),
    number("Tasks", row.tasks, "1/s"),
    number("Mean time", row.mean, "s"),
    number("Errors", row.error_ratio, "ratio"),
    number("Waiting", row.waiting, "count"),
    number("Running", row.running, "count"),
    cell("Workers", ...row.pools.flatMap((pool, i) => [
      make("span", { className: "pool" }, ...(i ? [" "] : []), shown(pool.workers, "count"), ...(pool.limit ? [" of ", shown(pool.limit, "count")] : []), ` ${pool.name}`),
    ])),
  ],
  latencies: (row) => [
    rowHead(row),
    number("Count", row.count, "count"),
    number("p50", row.p50, "s"),
    number("p95", row.p95, "s"),
    number("p99", row.p99, "s"),
    number("Longest", row.max, "s"),
  ],
  pools: (row) => [
    rowHead(row),
    number("Lent", row.in_use, "count"),
    number("Idle", row.idle, "count"),
    number("Reused", row.hit_ratio, "ratio"),
    number("Made", row.created, "count"),
    number("Lost", row.lost, "count"),
  ],
  "hot-keys": (row, [hottest]) => {
    const bar = meter(`${row.name}, share of lookups`, row.share, hottest.share, format(row.share, "ratio"));
    const share = cell("Share of lookups", bar, shown(row.share, "ratio"));
    share.className = "share";
    return [rowHead(row), cell("Cache", row.cache), share];
  },
};

const drawTable = (id, { rows, left_out: leftOut }) => {
  const section = find(id);
  section.hidden = rows.length === 0;
  settle(section.querySelector("tbody"), rows.map((row) => {
    const element = make("tr", {}, ...ROWS[id](row, rows));
    element.dataset.name = row.name;
    return element;
  }));
  section.querySelector(".more").textContent = leftOut > 0 ? `and ${leftOut} more` : "";
};

const drawProcess = (facts) => {
  const section = find("process");
  section.hidden = facts.length === 0;
  settle(
    section.querySelector("dl"),
    facts.map((fact) => {
      const value = make("dd", {}, shown(fact.value, fact.unit));
      value.dataset.name = fact.name;
      return make("div", {}, make("dt", { text: fact.title }), value);
    }),
  );
};

// --- plots -------------------------------------------------------------------------------------

const span = () => Number(find("range").value);

const drawPlots = () => {
  for (const [id, plot] of plots) plot.set(times, lines.get(id), span());
};

const takeHistory = (history) => {
  times = history.times;
  for (const described of history.plots) {
    if (!plots.has(described.id)) {
      const plot = new Plot(described, shared);
      plot.root.dataset.plot = described.id;
      plots.set(described.id, plot);
      find("plots").append(plot.root);
    }
    lines.set(described.id, new Map(Object.entries(described.lines)));
  }
  drawPlots();
};

const addPoint = ({ time, point }) => {
  if (plots.size === 0 || (times.length > 0 && time <= times[times.length - 1])) return;
  times.push(time);
  for (const [id, values] of Object.entries(point)) {
    const known = lines.get(id);
    if (known === undefined) continue;
    for (const name of Object.keys(values)) {
      if (!known.has(name) && known.size < MOST_LINES) known.set(name, new Array(times.length - 1).fill(null));
    }
    for (const [name, series] of known) series.push(Object.hasOwn(values, name) ? values[name] : null);
  }
  const oldest = time - span();
  let past = 0;
  while (past + 1 < times.length && times[past + 1] < oldest) past += 1;
  if (past > 60) {
    times.splice(0, past);
    for (const known of lines.values()) for (const series of known.values()) series.splice(0, past);
  }
  drawPlots();
};

const loadHistory = async () => {
  try {
    const answer = await fetch(`history?seconds=${span()}`);
    if (answer.ok) takeHistory(await answer.json());
  } catch {
    // The stream says that the service is away, and comes back here when it is not.
  }
};

// --- the stream --------------------------------------------------------------------------------

const say = (state, text) => {
  const element = find("state");
  if (element.dataset.state === state && element.textContent === text) return;
  element.dataset.state = state;
  element.textContent = text;
};

const trouble = (text) => {
  const element = find("trouble");
  element.hidden = text === "";
  if (element.textContent !== text) element.textContent = text;
};

const draw = (next) => {
  frame = next;
  lastFrameAt = performance.now();
  find("where").textContent = frame.title + (frame.uptime === null ? "" : `, up ${ago(frame.uptime)}`);
  document.title = `${frame.alerts.length > 0 ? `(${frame.alerts.length}) ` : ""}raudo \u00b7 ${frame.title}`;
  trouble(frame.trouble);
  drawKeyMetrics(frame.key_metrics);
  drawAlerts(frame.alerts, frame.alerts_left_out, frame.past_alerts);
  drawTable("caches", frame.caches);
  drawTable("workers", frame.workers);
  drawTable("latencies", frame.latencies);
  drawTable("pools", frame.pools);
  drawTable("hot-keys", frame.hot_keys);
  drawProcess(frame.process);
  addPoint(frame);
  say("live", "live");
  document.documentElement.dataset.frames = String(1 + Number(document.documentElement.dataset.frames ?? 0));
};

const close = () => {
  clearTimeout(retry);
  source?.close();
  source = null;
};

const open = () => {
  close();
  if (isPaused) return;
  say("waiting", "connecting");
  source = new EventSource("events");
  source.addEventListener("open", loadHistory);
  source.addEventListener("frame", (event) => draw(JSON.parse(event.data)));
  source.addEventListener("trouble", (event) => trouble(`The monitor cannot be read: ${JSON.parse(event.data).error}`));
  source.addEventListener("error", () => {
    say("away", "not connected");
    // A refusal (too many look, another token) ends an EventSource for good: try anew, later.
    if (source !== null && source.readyState === EventSource.CLOSED) {
      close();
      retry = setTimeout(open, 5000);
    }
  });
};

setInterval(() => {
  if (source === null || frame === null || source.readyState !== EventSource.OPEN) return;
  const silent = (performance.now() - lastFrameAt) / 1000;
  if (silent > 3 * frame.interval + 2) say("away", `no figures for ${ago(silent)}`);
}, 1000);

// A hidden page holds no connection: browsers allow few to one host.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));

// --- controls ----------------------------------------------------------------------------------

find("range").addEventListener("change", loadHistory);

find("pause").addEventListener("click", ({ currentTarget: button }) => {
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(isPaused));
  button.textContent = isPaused ? "Go on" : "Pause";
  if (isPaused) {
    close();
    say("paused", "paused");
  } else open();
});

const THEMES = ["auto", "light", "dark"];
const setTheme = (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  find("theme").textContent = `Theme: ${theme}`;
  find("theme").dataset.theme = theme;
  shared.redraw();
};
const stored = () => {
  try {
    return localStorage.getItem("raudo-theme");
  } catch {
    return null;
  }
};
find("theme").addEventListener("click", ({ currentTarget: button }) => {
  const theme = THEMES[(THEMES.indexOf(button.dataset.theme) + 1) % THEMES.length];
  setTheme(theme);
  try {
    localStorage.setItem("raudo-theme", theme);
  } catch {
    // Kept for this page only.
  }
});
setTheme(THEMES.includes(stored()) ? stored() : "auto");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", shared.redraw);

// --- every series ------------------------------------------------------------------------------

const MOST_ROWS = 500;
let everything = [];

const drawEverything = () => {
  const wanted = find("filter").value.toLowerCase();
  const found = everything.filter(([series]) => series.toLowerCase().includes(wanted));
  find("everything").querySelector("tbody").replaceChildren(
    ...found.slice(0, MOST_ROWS).map(([series, value]) => {
      const exact = cell("Value", make("span", { text: value === null ? "\u2013" : String(value) }));
      exact.className = "number";
      return make("tr", {}, make("th", { scope: "row" }, make("code", { text: series })), exact);
    }),
  );
  const rest = found.length > MOST_ROWS ? `, the first ${MOST_ROWS} shown` : "";
  find("filter-state").textContent = `${found.length} of ${everything.length} series${rest}`;
};

const loadEverything = async () => {
  if (!find("everything").open) return;
  try {
    const answer = await fetch("snapshot");
    if (!answer.ok) throw new Error(String(answer.status));
    everything = Object.entries((await answer.json()).metrics);
    drawEverything();
  } catch (error) {
    find("filter-state").textContent = `cannot be read: ${error.message}`;
  }
};
find("everything").addEventListener("toggle", loadEverything);
find("filter").addEventListener("input", drawEverything);
setInterval(() => document.hidden || isPaused || loadEverything(), 5000);

open();
