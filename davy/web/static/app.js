// The page: asks the console's JSON, redraws when news comes over /v1/stream. Text only ever goes in as text.
import { chart, clock } from "./chart.js";

const REFRESH_MS = 700, AGAIN_MS = 5000, WINDOWS = 600;
const main = document.getElementById("main");
let chosen = decodeURIComponent(location.hash.slice(1)), timer = null, drawing = false, dirty = false, last = "";

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(node.style, value);
    else if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const section = (title, attributes, ...children) => el("section", attributes, el("h2", {}, ...[].concat(title)), ...children);
const percent = (share, digits = 3) => `${Number((share * 100).toPrecision(digits))} %`;
const millis = (us) => `${Number((us / 1000).toPrecision(3))} ms`;
const number = (value) => (Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(1) : Number(value.toPrecision(3)).toString());
const span = (s) => (s < 90 ? `${Math.ceil(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw Object.assign(new Error((await response.json()).error ?? response.statusText), { status: response.status });
  return response.json();
}

function health(text, bad) {
  const node = document.getElementById("health");
  node.textContent = text;
  node.className = bad ? "bad" : "";
}

function navigation(items) {
  document.getElementById("list").replaceChildren(...items.map((item) => el("a", {
    href: `#${encodeURIComponent(item.id)}`, "aria-current": item.id === chosen ? "page" : null,
    title: item.verdict?.reason,
  }, el("span", { class: `dot ${item.verdict?.action ?? ""}` }), item.id, el("span", { class: "small" }, item.verdict?.action ?? "no verdict"))));
}

function verdictCards(experiment) {
  const verdicts = Object.values(experiment.verdicts);
  if (verdicts.length === 0) {
    return [el("section", { class: "verdict" }, el("div", { class: "action" }, "WAITING"),
      el("p", { class: "reason" }, "No verdict yet: the first one comes when the first window of event time has closed."))];
  }
  return verdicts.map((verdict) => {
    const expired = Date.parse(verdict.expires_at) < Date.now() && verdict.action !== "PROMOTE";
    return el("section", { class: `verdict ${verdict.action}` },
      el("div", {}, el("div", { class: "action" }, verdict.action), el("div", { class: "conclusion" }, verdict.conclusion.replace("_", " ").toLowerCase())),
      el("p", { class: "reason" }, verdict.reason),
      el("div", { class: "meta" }, `${verdict.variant} · events up to ${verdict.event_time.slice(11, 19)} UTC · verdict ${verdict.verdict_id}${expired ? " · expired: a deployer holds" : ""}`));
  });
}

function steps(experiment) {
  const now = experiment.step ?? -1;
  const out = Object.values(experiment.verdicts).every((verdict) => verdict.action === "ROLLBACK");
  const items = experiment.plan.map((step, i) => el("li", { class: i < now ? "done" : i === now && !out ? "now" : "", "aria-current": i === now ? "step" : null },
    `${percent(step.weight)} for ${span(step.duration_s)}`));
  const weights = Object.entries(experiment.weights).filter(([, share]) => share > 0);
  return section("Steps and traffic now", {}, el("ol", { class: "steps" }, ...items),
    weights.length ? el("div", { class: "shares" }, ...weights.map(([name, share]) => el("span", {
      class: name === experiment.control ? "" : "candidate", style: { width: `${share * 100}%` },
    }, `${name} ${percent(share)}`))) : el("p", { class: "quiet" }, "No weights applied yet."));
}

function gauge(kind, log, threshold) {
  const part = Math.max(0, Math.min(1, log / Math.log(threshold)));
  return el("div", { class: `gauge ${part >= 1 ? kind : ""}`, role: "meter", "aria-valuenow": part.toFixed(2), "aria-valuemin": 0, "aria-valuemax": 1 },
    el("i", { style: { width: `${part * 100}%` } }));
}

function shown(row, types, value) {
  if (value === null) return "–";
  const type = types[row.sli];
  if (type === "error_ratio") return percent(value);
  return type?.startsWith("latency") ? millis(value) : number(value);
}

// An effect is in its tolerance's own unit: a relative one in percent, a share's absolute one in percentage points.
function effect(sli, value, sign) {
  const scaled = sli.relative || sli.type === "error_ratio" ? value * 100 : sli.type.startsWith("latency") ? value / 1000 : value;
  const unit = sli.relative ? " %" : sli.type === "error_ratio" ? " pp" : sli.type.startsWith("latency") ? " ms" : "";
  return `${sign && value > 0 ? "+" : ""}${number(scaled)}${unit}`;
}

function evidence(experiment) {
  const types = Object.fromEntries(experiment.slis.map((sli) => [sli.name, sli.type]));
  const slis = Object.fromEntries(experiment.slis.map((sli) => [sli.name, sli]));
  const rows = Object.values(experiment.verdicts).flatMap((verdict) => verdict.evidence.map((row) => [row, verdict.needed?.[row.sli]]));
  if (rows.length === 0) return null;
  const body = rows.map(([row, needed]) => el("tr", {},
    el("td", {}, el("b", {}, row.sli), Object.keys(experiment.verdicts).length > 1 ? el("div", { class: "small" }, row.variant) : null),
    el("td", { class: "num" }, shown(row, types, row.baseline)), el("td", { class: "num" }, shown(row, types, row.candidate)),
    el("td", { class: "num" }, row.effect === null ? "–" : effect(slis[row.sli], row.effect, true),
      el("div", { class: "small" }, row.lower === null && row.upper === null ? "" : `${row.lower === null ? "…" : effect(slis[row.sli], row.lower)} to ${row.upper === null ? "…" : effect(slis[row.sli], row.upper)}`)),
    el("td", {}, gauge("harm", row.log_evidence, row.threshold), el("div", { class: "small" }, `${number(row.evidence)} of ${number(row.threshold)}`)),
    el("td", {}, ...(row.safety_evidence === null ? ["–"] : [gauge("safe", Math.log(Math.max(row.safety_evidence, 1e-300)), row.safety_threshold),
      el("div", { class: "small" }, `${number(row.safety_evidence)} of ${number(row.safety_threshold)}`)])),
    el("td", {}, el("span", { class: `badge ${row.status}` }, row.status.toLowerCase())),
    el("td", { class: "small" }, row.status === "OPEN" && needed?.seconds ? `about ${span(needed.seconds)} more` : "")));
  const head = [["SLI", ""], [experiment.control, "num"], ["candidate", "num"], ["effect", "num"], ["evidence of harm", ""], ["evidence of safety", ""], ["", ""], ["", ""]];
  return section("Evidence", {}, el("div", { class: "table" }, el("table", {}, el("thead", {}, el("tr", {}, ...head.map(([text, kind]) => el("th", { class: kind }, text)))), el("tbody", {}, ...body))));
}

function charts(experiment, windows, decisions, annotations) {
  const byArm = new Map();
  for (const window of windows) {
    const key = window.variant ?? window.version;
    if (!byArm.has(key)) byArm.set(key, new Map());
    const held = byArm.get(key).get(window.start);
    if (!held || held.rows < window.rows) byArm.get(key).set(window.start, window);
  }
  const names = [...byArm.keys()].filter((name) => name in experiment.variants).sort((a, b) => (a === experiment.control ? -1 : b === experiment.control ? 1 : 0));
  const lines = (value) => names.map((name) => ({
    name, kind: name === experiment.control ? "control" : "candidate",
    points: [...byArm.get(name).values()].sort((a, b) => (a.start < b.start ? -1 : 1)).map((window) => [Date.parse(window.start), value(window)]),
  }));
  const marks = decisions.filter((d) => d.outcome === "DONE" && ["apply", "shift", "promote", "rollback"].includes(d.kind))
    .map((d) => ({ ms: Date.parse(d.time), text: d.kind === "shift" || d.kind === "apply" ? `step ${(d.step ?? 0) + 1}` : d.kind }))
    .concat(annotations.map((a) => ({ ms: Date.parse(a.time), text: a.body.text.slice(0, 24) })));
  const legend = () => el("span", { class: "legend" }, ...names.flatMap((name) => [el("i", { class: name === experiment.control ? "" : "candidate" }), name]));
  const view = (title, value, format) => section([title, legend()], { class: "half" }, chart(title, lines(value), marks, format));
  return [
    view("Error ratio", (w) => (w.rows ? w.errors / w.rows : null), (v) => percent(v, 2)),
    view("Latency p99", (w) => w.p99_us, millis),
    view("Latency p50", (w) => w.p50_us, millis),
    view("Requests per second", (w) => (w.rows ? w.requests / ((Date.parse(w.end) - Date.parse(w.start)) / 1000) : 0), number),
  ];
}

// What was planned and then done is one line.
function settled(decisions) {
  const name = (d) => `${d.kind} ${d.verdict_id ?? d.reason} ${d.variant ?? ""}`;
  const ended = new Set(decisions.filter((d) => d.outcome !== "PLANNED").map(name));
  return decisions.filter((d) => d.outcome !== "PLANNED" || !ended.has(name(d)));
}

function ledger(all) {
  const decisions = settled(all);
  return section("Ledger", {}, decisions.length === 0 ? el("p", { class: "quiet" }, "Nothing was decided yet.") : el("ol", { class: "ledger" },
    ...decisions.slice(0, 40).map((d) => el("li", {}, el("time", { datetime: d.time }, clock(Date.parse(d.time))),
      el("span", {}, el("span", { class: `badge ${d.outcome}` }, d.outcome.toLowerCase())), el("span", { class: "what" }, el("b", {}, d.kind), ` ${d.reason}`, d.actor && d.actor !== "davy" ? el("span", { class: "small" }, ` · ${d.actor}`) : null)))));
}

function commands(experiment) {
  const reason = el("input", { name: "reason", required: "", placeholder: "Why (goes into the ledger)", "aria-label": "Reason", maxlength: 1000 });
  const actor = el("input", { name: "actor", required: "", placeholder: "Your name", "aria-label": "Your name", maxlength: 100, autocomplete: "name" });
  const output = el("output");
  const form = el("form", {}, reason, actor, ...["pause", "resume", "approve", "promote", "rollback"].map((command) =>
    el("button", { value: command, class: command === "rollback" ? "danger" : "" }, command)), output);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const command = event.submitter.value;
    if (["promote", "rollback"].includes(command) && !confirm(`${command} ${experiment.id}?`)) return;
    const token = sessionStorage.getItem("davy-token");
    const response = await fetch(`/v1/experiments/${encodeURIComponent(experiment.id)}/commands`, {
      method: "POST", headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: JSON.stringify({ command, reason: reason.value, actor: actor.value }),
    });
    if (response.status === 401) {
      const given = prompt("This console asks for its token:");
      if (given) sessionStorage.setItem("davy-token", given);
      output.textContent = given ? "Token kept for this tab: press again." : "Not sent.";
      return;
    }
    output.textContent = response.ok ? `${command} sent; the ledger shows what came of it.` : (await response.json()).error;
    if (response.ok) reason.value = "";
  });
  return section("Step in", { class: "stepin" }, form);
}

function draw(experiment, windows, decisions, annotations) {
  const versions = Object.entries(experiment.variants).map(([name, version]) => `${name} ${version}`).join(" · ");
  const parts = [
    el("div", { class: "title" }, el("h1", {}, experiment.id), el("span", { class: "quiet" }, `${experiment.service} in ${experiment.environment} · ${versions}`),
      experiment.hypothesis ? el("p", { class: "quiet" }, experiment.hypothesis) : null),
    ...verdictCards(experiment), steps(experiment), evidence(experiment), commands(experiment),
    ...charts(experiment, windows, decisions, annotations), ledger(decisions),
    section("Specification", {}, el("details", {}, el("summary", {}, "show the YAML in force"), el("pre", {}, experiment.spec))),
  ].filter(Boolean);
  const typing = main.contains(document.activeElement) && document.activeElement.tagName === "INPUT";
  const open = main.querySelector("details")?.open;
  if (typing) { // keep what a person is writing
    const old = document.activeElement.closest("section");
    parts[parts.findIndex((part) => part.className === "stepin")] = old;
  }
  const focus = document.activeElement;
  main.replaceChildren(...parts);
  if (open) main.querySelector("details").open = true;
  if (typing) focus.focus();
}

async function refresh() {
  if (drawing) { dirty = true; return; }
  drawing = true;
  try {
    const { items } = await get("/v1/experiments");
    if (!items.some((item) => item.id === chosen)) chosen = items[0]?.id ?? "";
    navigation(items);
    if (!chosen) {
      main.replaceChildren(el("p", { class: "quiet" }, "No experiments yet. Put one in force with: davy apply experiment.yaml"));
    } else {
      const path = `/v1/experiments/${encodeURIComponent(chosen)}`;
      const [experiment, windows, decisions, annotations] = await Promise.all([
        get(path), get(`${path}/windows?limit=${WINDOWS}`), get(`/v1/decisions?experiment=${encodeURIComponent(chosen)}`), get("/v1/annotations")]);
      const now = JSON.stringify([experiment, windows, decisions, annotations]);
      if (now !== last) draw(experiment, windows.items, decisions.items, annotations.items);
      last = now;
    }
    const ready = await fetch("/readyz").then((response) => response.json());
    health(ready.ready ? "live" : ready.reason, !ready.ready);
  } catch (error) {
    health(error.status ? error.message : "the console does not answer; trying again", true);
  } finally {
    drawing = false;
    if (dirty) { dirty = false; soon(); }
  }
}

function soon() {
  timer ??= setTimeout(() => { timer = null; refresh(); }, REFRESH_MS);
}

addEventListener("hashchange", () => { chosen = decodeURIComponent(location.hash.slice(1)); last = ""; refresh(); });
const stream = new EventSource("/v1/stream");
for (const kind of ["verdict", "window", "decision", "probe", "control"]) stream.addEventListener(kind, soon);
setInterval(soon, AGAIN_MS);
refresh();
