// One card per SLI: what each arm does, how sure we are, and how the evidence came to be.
import { band, chart } from "./chart.js";
import { card, el } from "./dom.js";
import { effect, millis, number, percent, span as lasting, value } from "./format.js";

const QUANTILES = { 0.5: "p50_us", 0.9: "p90_us", 0.95: "p95_us", 0.99: "p99_us", 0.999: "p999_us" };
const LOG_MIN = -3, MEASURED_MS = 7 * 864e5;

// What a window says of an SLI, and how that is written; null where windows keep nothing of it.
function perWindow(sli) {
  const seconds = (w) => (Date.parse(w.end) - Date.parse(w.start)) / 1000;
  switch (sli.type) {
    case "error_ratio": case "error_budget_burn": return [(w) => (w.rows ? w.errors / w.rows : null), (v) => percent(v, 2), "error ratio"];
    case "latency_quantile": { const name = QUANTILES[sli.quantile] ?? "p99_us"; return [(w) => w[name], millis, `${name.slice(0, -3)} latency`]; }
    case "latency_mean": return [(w) => w.mean_us, millis, "mean latency"];
    case "apdex": return [(w) => w.p50_us, millis, "p50 latency"];
    case "throughput": return [(w) => w.requests / seconds(w), number, "requests per second"];
    default: return sli.field === "duration_us" ? [(w) => w.mean_us, millis, "mean"] : [(w) => w.measures[sli.field] ?? null, (v) => value(sli, v), `mean ${sli.field}`];
  }
}

export function byArm(experiment, windows) {
  const arms = new Map(Object.keys(experiment.variants).map((name) => [name, []]));
  for (const window of windows) arms.get(window.variant ?? "")?.push(window);
  return arms;
}

const STATUS = { HARM: "✖ harm", SAFE: "✔ safe", OPEN: "◔ open", SHADOW: "shadow" };

// `history` has windows by arm, those of the service outside the experiment, the store's evidence, live verdicts, marks.
export function sliCard(experiment, sli, history, shown, onspan) {
  const { arms, rest, evidence, verdicts, marks } = history;
  const names = [...arms.keys()].sort((a, b) => (b === experiment.control) - (a === experiment.control));
  const candidates = names.filter((name) => name !== experiment.control);
  const kind = (name) => (name === experiment.control ? "control" : `candidate c${candidates.indexOf(name)}`);
  const [of, format, title] = perWindow(sli), isKept = shown[1] - shown[0] <= MEASURED_MS || title !== `mean ${sli.field}`;
  const lines = names.map((name) => ({ name, kind: kind(name), points: arms.get(name).map((w) => [Date.parse(w.start), of(w)]) }));
  if (rest.length) lines.unshift({ name: "the service outside it", kind: "rest", points: rest.map((w) => [Date.parse(w.start), of(w)]) });
  const row = (v) => v.evidence.find((e) => e.sli === sli.name);
  const standings = candidates.map((name) => [name, experiment.verdicts[name]]).filter(([, v]) => v && row(v));
  const curves = candidates.map((name) => ({
    name, kind: kind(name), points: [...evidence.filter((e) => e.variant === name && e.sli === sli.name).map((e) => [Date.parse(e.time), e.log_evidence]), ...verdicts.filter((v) => v.variant === name && row(v)).map((v) => [Date.parse(v.event_time), row(v).log_evidence])]
      .map(([ms, log]) => [ms, Math.max(LOG_MIN, log) / Math.LN10]),
  }));
  const threshold = standings.length ? row(standings[0][1]).threshold : null;
  const level = threshold === null ? null : { value: Math.log10(threshold), text: `harm at ${number(threshold)}` };
  const legend = el("span", { class: "legend" }, names.map((name) => [el("i", { class: kind(name) }), `${name} ${experiment.variants[name]}`.slice(0, 40)]), rest.length ? [el("i", { class: "rest" }), "the service outside it"] : null);
  const numbers = standings.map(([name, v]) => {
    const r = row(v), needed = v.needed?.[sli.name];
    return el("div", { class: "arm" },
      el("dl", {}, ...[[experiment.control, value(sli, r.baseline)], [name, value(sli, r.candidate)], ["effect", effect(sli, r.effect)]].map(([term, text]) => el("div", {}, el("dt", {}, term), el("dd", {}, text))),
        el("div", {}, el("dt", {}, "is"), el("dd", {}, el("span", { class: `badge ${r.status}` }, STATUS[r.status] ?? r.status.toLowerCase())))),
      band(`Effect on ${sli.name}: ${effect(sli, r.effect)}, between ${effect(sli, r.lower)} and ${effect(sli, r.upper)}; allowed ${effect(sli, sli.worse * sli.tolerance)}`, { ...r, tolerance: sli.tolerance, worse: sli.worse }, (x) => effect(sli, x)),
      el("p", { class: "small" }, `evidence of harm ${number(r.evidence)} of ${number(r.threshold)}`, r.safety_evidence === null ? "" : `, of safety ${number(r.safety_evidence)} of ${number(r.safety_threshold)}`,
        r.status === "OPEN" && (needed?.seconds || needed?.requests) ? ` · still needs about ${needed.seconds ? lasting(needed.seconds) : ""}${needed.requests ? ` (${needed.requests} requests)` : ""}` : ""));
  });
  return card([sli.name, el("span", { class: "small" }, ` ${sli.type.replaceAll("_", " ")}${sli.mode === "shadow" ? ", shadow: decides nothing" : ""}`), legend], { class: "half sli", "aria-label": `SLI ${sli.name}` },
    ...(numbers.length ? numbers : [el("p", { class: "quiet" }, "No evidence yet.")]),
    el("h3", {}, title), chart(`${title} of each arm`, lines, { span: shown, marks, format, onspan, empty: isKept ? undefined : "kept by the window only: look at 7 days or less" }),
    el("h3", {}, "evidence of harm (log scale)"), chart(`Evidence of harm of ${sli.name} with its threshold`, curves, { span: shown, marks, format: (v) => number(10 ** v), level, height: 110, low: Math.min(0, ...curves.flatMap((c) => c.points.map((p) => p[1]))), onspan }));
}
