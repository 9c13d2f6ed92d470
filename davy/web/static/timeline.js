// The weights over time with the verdicts on them, and the explanation of the one that is chosen.
import { chart, fitting } from "./chart.js";
import { card, el, said } from "./dom.js";
import { DOES, SIGN, both, clock, day, effect, number, percent, standing, value } from "./format.js";
import { link, read, set } from "./view.js";

const NEAR = 0.035, LISTED = 100, DAY_MS = 864e5;

// Verdicts at which a candidate's action or conclusion changed.
export function turns(verdicts) {
  const last = {};
  return verdicts.filter((v) => {
    const now = `${v.action} ${v.conclusion}`;
    const turned = last[v.variant] !== now;
    last[v.variant] = now;
    return turned;
  });
}

export function timeline(experiment, verdicts, decisions, marks, [from, to], onspan) {
  const shifts = decisions.filter((d) => d.outcome === "DONE" && Object.keys(d.weights).length).reverse();
  const candidates = Object.keys(experiment.variants).filter((name) => name !== experiment.control);
  const lines = candidates.map((name, i) => {
    const points = shifts.map((d) => [Date.parse(d.time), d.weights[name] ?? 0]);
    const before = points.filter(([ms]) => ms < from).at(-1), last = points.at(-1);
    if (before) points.push([from, before[1]]);
    if (last) points.push([to, last[1]]);
    return { name, kind: `candidate c${i}`, stepped: true, points: points.sort((a, b) => a[0] - b[0]) };
  });
  const within = marks.filter(({ ms }) => ms >= from && ms <= to);
  const chosen = read().ask.get("v");
  let free = -1;
  const flags = turns(verdicts).map((v) => ({ v, at: (Date.parse(v.event_time) - from) / (to - from) })).filter(({ at }) => at >= 0 && at <= 1)
    .filter(({ v, at }) => { const fits = at - free > NEAR || v.action === "ROLLBACK"; if (fits) free = at; return fits; })
    .map(({ v, at }) => el("button", {
      type: "button", class: `flag ${v.action}`, style: { left: `${at * 100}%` }, "aria-pressed": String(v.verdict_id === chosen), "data-focus": `v ${v.verdict_id}`,
      title: `${clock(Date.parse(v.event_time))} ${v.action}: ${v.reason.slice(0, 200)}`, "aria-label": `${v.action} at ${clock(Date.parse(v.event_time))} UTC, ${v.variant}: explain`,
      onclick: () => set({ v: v.verdict_id }),
    }, SIGN[v.action]));
  return card("Traffic of the candidate, and what Davy said", { class: "timeline" },
    chart("Weight over time", lines, { span: [from, to], marks, format: (v) => percent(v, 2), height: 120, wide: fitting(1120), top: Math.min(1, Math.max(0.1, ...lines.flatMap((l) => l.points.map((p) => p[1])))), onspan }),
    el("div", { class: "flags" }, ...flags),
    el("p", { class: "small" }, verdicts.length ? "Each sign is a verdict at which something changed: press one for its explanation." : "No verdict yet."),
    within.length ? el("details", { "data-focus": "marks" }, el("summary", {}, `What the ${within.length} marks on the charts are`), el("ol", { class: "marks" }, ...within.slice(-LISTED).reverse().map((mark) =>
      el("li", {}, el("time", { datetime: new Date(mark.ms).toISOString() }, to - from > DAY_MS ? day(mark.ms) : clock(mark.ms)), el("div", { class: "what" }, said(mark.text), el("span", { class: "small" }, " by ", el("bdi", {}, mark.by ?? ""), mark.why ? [": ", said(mark.why)] : "")))))) : null);
}

// `v` is that verdict in full: undefined while the store is asked, null where nobody has it.
export function explanation(experiment, verdicts, id, v) {
  const at = verdicts.findIndex((v) => v.verdict_id === id);
  const close = el("button", { type: "button", "data-focus": "close", onclick: () => set({ v: null }) }, "close  (Esc)");
  if (!v) return card("Explanation", { class: "why" }, el("p", {}, v === undefined ? "Asking the store …" : ["This verdict is neither kept here nor in the store. In a terminal: ", el("code", {}, `davy explain ${id}`)]), close);
  const slis = Object.fromEntries(experiment.slis.map((sli) => [sli.name, sli]));
  const go = (to, text) => el("button", { type: "button", "data-focus": text, disabled: !verdicts[to], onclick: () => set({ v: verdicts[to].verdict_id }, { replace: true }) }, text);
  const rows = v.evidence.map((row) => el("tr", {}, el("th", { scope: "row" }, row.sli), el("td", { class: "num" }, value(slis[row.sli] ?? {}, row.baseline)), el("td", { class: "num" }, value(slis[row.sli] ?? {}, row.candidate)),
    el("td", { class: "num" }, row.effect === null ? "–" : `${effect(slis[row.sli] ?? {}, row.effect)} (${effect(slis[row.sli] ?? {}, row.lower)} to ${effect(slis[row.sli] ?? {}, row.upper)})`),
    el("td", { class: "num" }, `${number(row.evidence)} of ${number(row.threshold)}`), el("td", { class: "num" }, row.safety_evidence === null ? "–" : `${number(row.safety_evidence)} of ${number(row.safety_threshold)}`),
    el("td", { class: "num" }, `${row.n_baseline} / ${row.n_candidate}`), el("td", {}, row.status.toLowerCase())));
  const [sign, word, kind] = standing(v.conclusion);
  return card(`Why ${v.action} at ${both(Date.parse(v.event_time))}`, { class: "why" },
    el("p", {}, el("span", { class: `pill ${kind}` }, `${sign} ${word}`), ` ${v.variant}, ${DOES[v.action]}. `, said(v.reason)),
    el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Evidence of this verdict" }, el("table", {}, el("thead", {}, el("tr", {}, ...["SLI", experiment.control, v.variant, "effect (band)", "evidence of harm", "of safety", "requests", "status"].map((text, i) => el("th", { scope: "col", class: i && i < 7 ? "num" : "" }, text)))), el("tbody", {}, ...rows))),
    v.budget ? el("p", { class: "small" }, `Error budget: of ${percent(v.budget.alpha)} for a wrong rollback this verdict spends ${percent(v.budget.alpha_spent)}; of ${percent(v.budget.beta)} for a wrong promotion ${percent(v.budget.beta_spent)}.`) : null,
    el("p", { class: "small" }, `Verdict ${v.verdict_id}, number ${v.sequence} of epoch ${v.epoch}, step ${v.step + 1}, weight ${percent(v.weight)}, ${v.code_version}; read up to ${Object.entries(v.offsets).map(([place, offset]) => `${place}: ${offset}`).join(", ")}. In a terminal: `, el("code", {}, `davy explain ${v.verdict_id}`)),
    el("div", { class: "buttons" }, ...(at < 0 ? [] : [go(at - 1, "earlier"), go(at + 1, "later")]), close, el("a", { class: "small", href: link(experiment.id, new URLSearchParams({ v: v.verdict_id })) }, "link to this verdict")));
}
