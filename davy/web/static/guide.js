// After `davy demo`: what one sees just now, in plain words, and what comes next. Nothing of it is shown to others.
import { card, el, said } from "./dom.js";
import { number, percent } from "./format.js";
import { set } from "./view.js";

const DEMO = "davy demo", HIDDEN = "davy-guide-hidden";
const PARTS = ["Traffic", "Evidence grows", "A decision", "Why", "Your own"];

export const guided = (detail) => detail.applied_by === DEMO && localStorage.getItem(HIDDEN) !== DEMO;

// The row of evidence that is nearest to its threshold of harm, among those that decide.
function nearest(v) {
  return v.evidence.filter((row) => row.status !== "SHADOW").sort((a, b) => b.log_evidence / Math.log(b.threshold) - a.log_evidence / Math.log(a.threshold))[0];
}

// Which part it is, and two sentences about it; `looked`: whether an explanation is open.
export function part(detail, v, looked) {
  const candidates = Object.entries(detail.variants).filter(([name]) => name !== detail.control).map(([name, version]) => `${name} ${version}`).join(" and ");
  if (!v) return [0, `Simulated users call ${detail.service}. Version ${detail.variants[detail.control]} is control; ${candidates} is new and gets a small share first.`, "Each request is one event in Kafka. The first verdict comes when a window of 5 seconds has closed."];
  if (looked) return [3, "This is the explanation: the sentence, both arms' values, how sure Davy is, and what was read from the log.", "Every verdict can be computed again from the log: davy replay --verdict, with the id below it."];
  const row = nearest(v), share = percent(detail.weights[v.variant] ?? v.weight);
  const curve = row ? `The evidence of harm of ${row.sli} is ${number(row.evidence)}; at ${number(row.threshold)} it would be proven.` : "";
  if (v.action === "ROLLBACK") return [2, `${v.reason}.`.replace("..", "."), `That took ${row ? `${row.n_candidate.toLocaleString("en")} requests to ${v.variant}` : "little traffic"}; ${detail.control} has all traffic again, and the ledger says who did it and why. Press “why?” for the explanation.`];
  if (v.action === "PROMOTE") return [2, "All steps are done and each judged measure was shown to be safe.", `${v.variant} gets all traffic; Davy goes on watching it.`];
  if (v.action === "HOLD") return [1, v.conclusion === "NO_DATA" ? "No data are no evidence: Davy waits, it neither promotes nor rolls back." : v.conclusion === "INVALID" ? "The comparison itself is in doubt, so Davy holds until somebody looks." : "Davy waits where it is: something that promotion needs is missing.", curve];
  return [1, `${v.variant} has ${share} of the traffic. Davy compares both arms window by window: look at the curves “evidence of harm”.`, `${curve} A harmless release comes that far in at most ${percent(detail.policy.alpha)} of cases, however often one looks.`];
}

export function guide(detail, v, looked) {
  const [now, ...text] = part(detail, v, looked);
  const isOver = v && ["ROLLBACK", "PROMOTE"].includes(v.action);
  return card("What you see", { class: "guide", "aria-label": "Guide" },
    el("ol", { class: "steps" }, ...PARTS.map((name, i) => el("li", { class: i < now ? "done" : i === now ? "now" : "", "aria-current": i === now ? "step" : null }, name))),
    el("div", { role: "status" }, ...text.filter(Boolean).map((sentence) => el("p", {}, said(sentence)))),
    isOver ? el("p", {}, "Your own release next, in a terminal: ", el("code", {}, `davy init --service ${detail.service} --control ${detail.variants[detail.control]} --canary NEW`), " writes a commented experiment; ", el("code", {}, "davy plan"), " says how long it takes, ", el("code", {}, "davy apply"), " puts it in force.") : null,
    el("div", { class: "buttons" }, isOver && !looked ? el("button", { type: "button", "data-focus": "guide why", onclick: () => set({ v: v.verdict_id }) }, "why?") : null,
      el("button", { type: "button", class: "link", "data-focus": "guide hide", onclick: () => { localStorage.setItem(HIDDEN, DEMO); dispatchEvent(new Event("view")); } }, "hide this guide")));
}
