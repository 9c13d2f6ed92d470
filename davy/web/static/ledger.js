// Who did what, when, why, and what came of it.
import { card, el, said } from "./dom.js";
import { clock, day, percent } from "./format.js";
import { now } from "./store.js";
import { read, set } from "./view.js";

const SHOWN = 60, DAY_MS = 864e5;
const OUTCOME = { DONE: "✔ done", PLANNED: "◔ planned", REFUSED: "⚠ refused", FAILED: "✖ failed" };

const when = (ms) => (now() - ms < DAY_MS ? clock(ms) : day(ms));

// What was planned and then done is one line.
export function settled(decisions) {
  const name = (d) => `${d.kind} ${d.verdict_id ?? d.reason} ${d.variant ?? ""}`;
  const ended = new Set(decisions.filter((d) => d.outcome !== "PLANNED").map(name));
  return decisions.filter((d) => d.outcome !== "PLANNED" || !ended.has(name(d)));
}

export function ledger(detail, all) {
  const find = read().ask.get("find") ?? "", words = find.toLowerCase();
  const decisions = settled(all).filter((d) => !words || `${d.kind} ${d.outcome} ${d.actor} ${d.reason} ${d.verdict_id ?? ""} ${d.variant ?? ""}`.toLowerCase().includes(words));
  const search = el("input", { type: "search", placeholder: "Find by actor, kind, outcome or reason", "aria-label": "Find in the ledger", value: find, "data-focus": "find", oninput: () => set({ find: search.value }, { replace: true }) });
  const lines = decisions.slice(0, SHOWN).map((d) => el("li", {}, el("time", { datetime: d.time, title: d.time }, when(Date.parse(d.time))),
    el("span", {}, el("span", { class: `badge ${d.outcome}` }, OUTCOME[d.outcome])),
    el("div", { class: "what" }, el("b", {}, d.kind), d.variant ? ` ${d.variant}` : "", ": ", said(d.reason), el("span", { class: "small" }, " by ", el("bdi", {}, d.actor), Object.keys(d.weights).length ? ` · ${Object.entries(d.weights).map(([name, share]) => `${name} ${percent(share)}`).join(", ")}` : "",
      d.verdict_id ? [" · ", el("button", { type: "button", class: "link", "data-focus": `because ${d.decision_id} ${d.outcome}`, onclick: () => set({ v: d.verdict_id }) }, "its verdict")] : null))));
  const cursor = search.value.length;
  queueMicrotask(() => { if (document.activeElement === search) search.setSelectionRange(cursor, cursor); });
  return card("Ledger", { class: "log" }, el("div", { class: "tools" }, search, el("span", { class: "small" }, `${decisions.length} of ${settled(all).length} lines`)),
    lines.length ? el("ol", { class: "ledger" }, ...lines) : el("p", { class: "quiet" }, words ? "Nothing fits." : "Nothing was decided yet."));
}
