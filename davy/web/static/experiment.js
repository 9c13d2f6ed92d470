// One experiment: in five seconds what is wrong, why Davy thinks so, what it did, and what one can do.
import { act } from "./act.js";
import { Board, card, el, said } from "./dom.js";
import { DOES, both, clock, millis, percent, span as lasting, standing, value } from "./format.js";
import { guide, guided } from "./guide.js";
import { ledger } from "./ledger.js";
import { marks as marking } from "./marks.js";
import { Past } from "./past.js";
import { range } from "./range.js";
import { byArm, sliCard } from "./slis.js";
import { Records, all, get, listen, now } from "./store.js";
import { explanation, timeline } from "./timeline.js";
import { read, set } from "./view.js";

const REDRAW_MS = 500, NEEDS = 3, LOOK_MS = 300e3, LOOK_AGAIN_MS = 20e3, NOTED_MS = 600e3;

export function experiment(main, id, health) {
  const board = new Board(main), records = new Records(), path = `/v1/experiments/${encodeURIComponent(id)}`;
  const past = new Past(path, () => { if (!stopped && detail) draw(); });
  let detail = null, timer = null, stopped = false, stale = true, isLoaded = false;

  async function load() {
    try {
      const rest = Promise.all([
        all(`${path}/windows`), all(`${path}/verdicts`, 600), all(`/v1/decisions?experiment=${encodeURIComponent(id)}`, 1000), all("/v1/annotations", 500)]);
      rest.catch(() => {}); // told below, once
      detail = await get(path);
      if (stopped) return;
      draw();
      const [windows, verdicts, decisions, annotations] = await rest;
      if (stopped) return;
      for (const [kind, items] of Object.entries({ window: windows.reverse(), verdict: verdicts.reverse(), decision: decisions.reverse(), annotation: annotations })) for (const item of items) records.take(kind, item);
      health.heard();
      isLoaded = true;
      draw();
      if (!past.looked) past.look();
    } catch (error) {
      if (stopped) return;
      if (error.status === 404 && detail === null) main.replaceChildren(card("Not here", {}, el("p", {}, said(error.message)), el("p", {}, el("a", { href: "#/" }, "all experiments"))));
      else health.lost();
    }
  }

  async function renew() {
    timer = null;
    if (stopped) return;
    try { if (stale) { stale = false; detail = await get(path); } } catch { health.lost(); return; }
    if (!stopped && detail) draw();
  }
  const soon = () => { timer ??= setTimeout(renew, REDRAW_MS); };

  function shown(windows, verdicts, decisions, annotations) {
    const { ask } = read(), from = Number(ask.get("from")), to = Number(ask.get("to"));
    if (from && to > from) return [from, to];
    const ends = (items) => [items[0], items.at(-1)].filter(Boolean); // of items in order
    const times = [...(past.since ? [past.since] : []), ...ends(windows).flatMap((w) => [Date.parse(w.start), Date.parse(w.end)]), ...ends(verdicts).map((v) => Date.parse(v.event_time)), ...ends(decisions).map((d) => Date.parse(d.time))];
    const known = times.length ? times.reduce((a, b) => Math.max(a, b)) : Date.now(), noted = annotations.map((a) => Date.parse(a.time)).filter((ms) => ms - known < NOTED_MS);
    const last = noted.reduce((a, b) => Math.max(a, b), known), first = times.length ? times.reduce((a, b) => Math.min(a, b)) : last - 60000;
    const lasts = Number(ask.get("last")) * 1000;
    return [lasts ? last - lasts : Math.min(first, last - 30000), last];
  }

  function draw() {
    const { ask } = read(), live = records.windows, span = shown(live, records.verdicts, records.decisions, records.annotations);
    if (isLoaded || ask.get("last") || ask.get("from")) past.need(span, live);
    const { windows, verdicts, decisions, annotations, rest, evidence, step_s } = past.mix(records), arms = byArm(detail, windows), chosen = ask.get("v"), marks = marking(decisions, annotations);
    const extent = [Math.min(span[0], past.whole ? Date.parse(past.whole.from) : Infinity), Math.max(span[1], last(live))];
    const onspan = ([from, to]) => set({ from: Math.round(from), to: Math.round(to), last: null });
    const latest = Object.values(detail.verdicts);
    const inside = (items, time) => items.filter((item) => Date.parse(time(item)) >= span[0] - 60000 && Date.parse(time(item)) <= span[1] + 60000);
    const seen = { span, v: records.version, past: past.told && [past.told.from, past.told.to], fault: past.fault };
    const full = (id) => { const v = verdicts.find((one) => one.verdict_id === id); return v?.evidence ? v : past.verdict(path, id); };
    board.show([
      { key: "title", of: [detail.id, detail.variants, detail.hypothesis], make: () => title(detail) },
      { key: "guide", of: [guided(detail), latest[0]?.verdict_id, detail.weights, Boolean(chosen)], make: () => (guided(detail) ? guide(detail, latest[0], Boolean(chosen)) : null) },
      ...(latest.length ? latest.map((v) => ({ key: `strip ${v.variant}`, of: [v.verdict_id, latest.length], make: () => strip(v, detail, latest.length) })) : [{ key: "strip", of: 0, make: () => waiting() }]),
      { key: "steps", of: [detail.plan, detail.step, detail.weights, latest.map((v) => v.action)], make: () => steps(detail) },
      { key: "budgets", of: detail.error_budgets, make: () => (detail.error_budgets.length ? budgets(detail) : null) },
      { key: "probes", of: detail.probes, make: () => (detail.probes.length ? probes(detail) : null) },
      { key: "changes", of: detail.changes, make: () => (detail.changes.length ? changes(detail) : null) },
      { key: "act", of: [detail.command, detail.weights], make: () => act(detail, records) },
      { key: "span", of: [ask.get("from"), ask.get("to"), ask.get("last"), past.whole?.to, past.fault, past.busy, step_s, [...span, ...extent].map((ms) => Math.round((500 * ms) / (extent[1] - extent[0])))], make: () => range(span, extent, past, step_s) },
      { key: "timeline", of: [seen, chosen], make: () => timeline(detail, verdicts, decisions, marks, span, onspan) },
      { key: "why", of: [chosen, chosen && verdicts.length, chosen && typeof full(chosen), chosen && full(chosen) === null], make: () => (chosen ? explanation(detail, verdicts, chosen, full(chosen)) : null) },
      ...detail.slis.map((sli) => ({ key: `sli ${sli.name}`, of: [seen, latest.map((v) => v.verdict_id)], make: () => sliCard(detail, sli, { arms, rest, evidence, verdicts: inside(verdicts, (v) => v.event_time).filter((v) => v.evidence), marks }, span, onspan) })),
      { key: "funnel", of: [seen, detail.dead_letters], make: () => funnel(detail, arms, span) },
      { key: "ledger", of: [decisions.length, ask.get("find")], make: () => ledger(detail, decisions) },
      { key: "learned", of: latest.length > 0, make: () => (latest.length ? learned(detail) : null) },
      { key: "spec", of: detail.spec, make: () => card("Specification", {}, el("details", { "data-focus": "spec" }, el("summary", {}, "show the YAML in force"), el("pre", { tabindex: "0" }, detail.spec))) },
    ]);
    fresh();
    document.title = `${latest.length ? `${standing(latest[0].conclusion)[0]} ` : ""}${id} · Davy`;
  }

  const close = listen(`/v1/stream?experiment=${encodeURIComponent(id)}`, ["verdict", "window", "decision", "control", "budget", "probe"], {
    onopen: () => { health.alive(); load(); },
    onlost: () => health.lost(),
    onevent: (kind, record) => {
      health.heard();
      if (kind === "budget") { if (record.service !== detail?.service || record.environment !== detail.environment) return; stale = true; }
      else if (kind === "probe") { if (!record.services.includes(detail?.service)) return; stale = true; }
      else if (kind === "control") { if (record.body.text !== undefined) records.take("annotation", record); stale = true; } else if (records.take(kind, record)) stale ||= kind !== "window"; else return;
      soon();
    },
  });
  const look = () => { if (detail) draw(); };
  const acted = () => { stale = true; soon(); };
  const escape = (event) => { if (event.key === "Escape" && read().ask.get("v") && !document.querySelector("dialog[open]")) set({ v: null }); };
  const ticking = setInterval(() => fresh(), 1000), looking = setInterval(() => { if (!document.hidden && (past.fault || !past.whole || now() - past.looked > LOOK_MS)) past.look(); }, LOOK_AGAIN_MS);
  addEventListener("view", look); addEventListener("acted", acted); addEventListener("keydown", escape);
  return () => { stopped = true; board.close(); close(); clearInterval(ticking); clearInterval(looking); removeEventListener("view", look); removeEventListener("acted", acted); removeEventListener("keydown", escape); };
}

const last = (windows) => (windows.length ? Date.parse(windows.at(-1).end) : 0);

function title(detail) {
  return el("div", { class: "title" }, el("h1", {}, el("bdi", {}, detail.id)),
    el("span", { class: "quiet" }, `${detail.service} in ${detail.environment}`), ...Object.entries(detail.variants).map(([name, version]) => el("span", { class: "quiet" }, `${name} `, el("bdi", {}, version))),
    detail.hypothesis ? el("p", { class: "quiet" }, said(detail.hypothesis)) : null);
}

const waiting = () => el("section", { class: "strip wait" }, el("div", { class: "word" }, "○ WAITING"), el("p", { class: "reason" }, "No verdict yet: the first one comes when the first window of event time has closed."));

function strip(v, detail, many) {
  const [sign, word, kind] = standing(v.conclusion);
  const open = Object.entries(v.needed ?? {}).filter(([, n]) => n && (n.seconds || n.requests)).sort(([, a], [, b]) => (b.seconds ?? Infinity) - (a.seconds ?? Infinity)).slice(0, NEEDS);
  const need = open.map(([sli, n]) => `${sli} ${n.seconds ? `about ${lasting(n.seconds)}` : ""}${n.requests ? ` (${n.requests} requests)` : ""}`).join("; ");
  return el("section", { class: `strip ${kind}${many > 1 ? " half" : ""}`, "aria-label": `Standing of ${v.variant}` },
    el("div", {}, el("div", { class: "word" }, `${sign} ${word}`), el("div", { class: "does" }, `${v.action}: ${DOES[v.action]}`)),
    el("div", {}, el("p", { class: "reason" }, said(v.reason)),
      need && !["ROLLBACK", "PROMOTE"].includes(v.action) ? el("p", { class: "needed" }, `Still needed at this traffic: ${need}.`) : null,
      el("p", { class: "small" }, `${v.variant} `, el("bdi", {}, detail.variants[v.variant] ?? ""), ` · events up to ${both(Date.parse(v.event_time))} · `,
        el("span", { class: "fresh", "data-issued": v.issued_at, "data-expires": v.expires_at, "data-final": String(v.action === "ROLLBACK" || v.action === "PROMOTE") }, "…"),
        " · ", el("button", { type: "button", class: "link", "data-focus": `why ${v.variant}`, onclick: () => set({ v: v.verdict_id }) }, "why?"))));
}

// How old each verdict is, without drawing anything else anew.
function fresh() {
  for (const node of document.querySelectorAll(".fresh")) {
    const age = (now() - Date.parse(node.dataset.issued)) / 1000, expired = now() > Date.parse(node.dataset.expires);
    const over = node.dataset.final === "true";
    const text = over ? "final" : age < -5 ? `said ${lasting(-age)} in the future: check the clocks of judge and console` : `said ${lasting(age)} ago${expired ? ", STALE: deployers hold until a new verdict comes" : ", live"}`;
    if (node.textContent !== text) node.textContent = text;
    node.classList.toggle("old", expired && !over);
  }
}

function steps(detail) {
  const now = detail.step ?? -1, out = Object.values(detail.verdicts).some((v) => v.action === "ROLLBACK");
  const weights = Object.entries(detail.weights).filter(([, share]) => share > 0);
  return card("Steps, and traffic now", {}, el("ol", { class: "steps" }, ...detail.plan.map((step, i) => el("li", { class: i < now ? "done" : i === now && !out ? "now" : "", "aria-current": i === now ? "step" : null }, `${percent(step.weight)} for ${lasting(step.duration_s)}`))),
    weights.length ? el("div", { class: "shares" }, ...weights.map(([name, share]) => el("span", { class: name === detail.control ? "" : "candidate", style: { width: `${share * 100}%` } }, `${name} ${percent(share)}`))) : el("p", { class: "quiet" }, "No weights applied yet."));
}

const BURNS = { PAGE: "bad", TICKET: "wait", NONE: "good" };
function budgets(detail) {
  const spent = (budget) => Object.entries(detail.variants).map(([name, version]) => `${name} spent ${percent(budget.spent[version] ?? 0, 2)}`).join(", ");
  return card("Error budgets of the service", {}, ...detail.error_budgets.map((budget) => el("p", {},
    el("span", { class: `pill ${BURNS[budget.alert]}` }, `${percent(budget.left)} left`), " ", said(budget.reason), el("span", { class: "quiet" }, ` · ${spent(budget)}`))));
}

const CIRCUITS = { CLOSED: ["✔ answers", "good"], HALF_OPEN: ["◔ is tried again", "wait"], OPEN: ["✖ is down", "bad"] };
const ORDER = ["OPEN", "HALF_OPEN", "CLOSED"];
function probes(detail) {
  return card("What the service depends on", {}, ...[...detail.probes].sort((a, b) => ORDER.indexOf(a.circuit) - ORDER.indexOf(b.circuit)).map((probe) => el("p", {},
    el("span", { class: `pill ${CIRCUITS[probe.circuit][1]}` }, CIRCUITS[probe.circuit][0]), " ", el("bdi", {}, probe.target), el("span", { class: "quiet" }, ` · ${probe.kind}, circuit ${probe.circuit.toLowerCase().replace("_", " ")}, ${percent(probe.error_ratio, 2)} of recent probes failed`,
      probe.latency_us === null ? "" : `, ${millis(probe.latency_us)}`, ` · ${both(Date.parse(probe.time))}`), probe.error ? [": ", said(probe.error)] : null)));
}

function learned(detail) {
  const path = `/v1/experiments/${encodeURIComponent(detail.id)}/report`;
  return card("What is learned from it", {}, el("p", {}, "Hypothesis, design, what was seen, decision, cost and next steps, written from the store: ",
    el("a", { href: `${path}?format=html`, target: "_blank" }, "read the report"), ", ", el("a", { href: `${path}?format=markdown`, target: "_blank" }, "as Markdown"), ". In a terminal: ", el("code", {}, `davy report ${detail.id}`), "."));
}

function changes(detail) {
  return card("Changes after the promotion", {}, ...detail.changes.map((change) => {
    const sli = detail.slis.find((each) => each.name === change.sli) ?? { type: "" };
    return el("div", {},
      el("p", {}, el("span", { class: `pill ${change.action === "ROLLBACK" ? "bad" : "wait"}` }, change.kind === "anomaly" ? "anomaly" : change.action), ` ${change.variant}, ${change.sli}: ${value(sli, change.before)} to ${value(sli, change.after)} at ${both(Date.parse(change.begun_at))}. `, said(change.reason)),
      el("ul", { class: "quiet" },
        ...change.carriers.map((one) => el("li", {}, `${one.dimension} ${one.value ?? "(all others)"} carries ${percent(one.share, 2)}: ${value(sli, one.before)} to ${value(sli, one.after)}`)),
        ...change.links.map((link) => el("li", {}, `${both(Date.parse(link.time))}: ${link.text}`))));
  }));
}

function funnel(detail, arms, [from, to]) {
  const rows = [...arms].map(([name, windows]) => {
    const inside = windows.filter((w) => Date.parse(w.start) >= from && Date.parse(w.start) < to), sum = (of) => inside.reduce((total, w) => total + w[of], 0);
    const used = sum("rows"), late = sum("late"), quarantined = sum("quarantined"), copies = sum("duplicates");
    return el("tr", {}, el("th", { scope: "row" }, name), ...[used + late + quarantined, late, copies, quarantined, used].map((n, i) => el("td", { class: "num" }, `${n && i === 2 ? "≈ " : ""}${n.toLocaleString("en")}`)));
  });
  return card("What became of the events in this span", {}, el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Events by arm" }, el("table", {}, el("thead", {}, el("tr", {}, ...["arm", "received", "late", "duplicates", "quarantined", "used"].map((text, i) => el("th", { scope: "col", class: i ? "num" : "" }, text)))), el("tbody", {}, ...rows))),
    el("p", { class: "small" }, `Records of all sources that could not be read: ${detail.dead_letters.toLocaleString("en")}, in `, el("code", {}, "davy.deadletters"), " with their reasons. Duplicates, rows that came more than once, are among the used; they are estimated from one row in 64, and above a fifth the experiment is INVALID."));
}
