// Which span of time is looked at: choices, steps by keyboard, and a brush over all that the store knows.
import { chart, fitting } from "./chart.js";
import { card, el } from "./dom.js";
import { both, day, number, span as lasting } from "./format.js";
import { read, set } from "./view.js";

const PRESETS = [["5 min", 300], ["1 h", 3600], ["24 h", 86400], ["7 days", 604800], ["30 days", 2592000]];
const PARTS = 1000, LEAST_MS = 10e3;

// [from, to] as the address has it: an end that reaches now follows it.
function choose(from, to, now) {
  const begin = Math.min(from, to - LEAST_MS);
  if (to >= now - Math.max(1000, (to - begin) / PARTS)) set({ last: Math.max(10, Math.round((now - begin) / 1000)), from: null, to: null });
  else set({ from: Math.round(begin), to: Math.round(to), last: null });
}

export function range([from, to], [least, most], past, step_s) {
  const { ask } = read(), last = ask.get("last"), zoomed = ask.get("from"), lasts = to - from;
  const button = (text, press, pressed, attributes = {}) => el("button", { type: "button", "data-focus": `span ${text}`, "aria-pressed": pressed === undefined ? null : String(pressed), onclick: press, ...attributes }, text);
  const preset = ([text, s]) => button(text, () => set({ last: s, from: null, to: null }), last === String(s));
  const go = (text, begin, end) => button(text, () => choose(Math.max(least, begin), Math.min(most, end), most));
  const at = (ms) => Math.round(((ms - least) / (most - least)) * PARTS), ms = (part) => least + (part / PARTS) * (most - least);
  const slider = (name, value, pick) => el("label", {}, el("span", { class: "small" }, name), el("input", {
    type: "range", min: 0, max: PARTS, value: Math.max(0, Math.min(PARTS, at(value))), "data-focus": `slide ${name}`, "aria-valuetext": `${day(value)} UTC`,
    onchange: (event) => pick(ms(Number(event.target.value))),
  }));
  const whole = past.whole;
  const lines = whole ? [...new Set(whole.windows.map((w) => w.variant))].map((name) => ({
    name: name ?? "the service outside it", kind: name === null ? "rest" : "candidate",
    points: whole.windows.filter((w) => w.variant === name).map((w) => [Date.parse(w.start), (w.requests * 1000) / (Date.parse(w.end) - Date.parse(w.start))]),
  })) : [];
  return card("Span of time", { class: "range", "aria-label": "Span of time" },
    el("div", { class: "spans", role: "group", "aria-label": "Choices" }, ...PRESETS.map(preset), button("everything", () => set({ last: null, from: null, to: null }), !last && !zoomed),
      go("◀ earlier", from - lasts / 2, to - lasts / 2), go("later ▶", from + lasts / 2, to + lasts / 2), go("closer", from + lasts / 4, to - lasts / 4), go("wider", from - lasts / 2, to + lasts / 2)),
    whole ? [chart("Requests per second of the service, all that the store has", lines, { span: [least, most], shade: [from, to], format: number, height: 84, wide: fitting(1120), onspan: ([begin, end]) => choose(begin, end, most) }),
      el("div", { class: "sliders" }, slider("from", from, (begin) => choose(begin, Math.max(to, begin + LEAST_MS), most)), slider("to", to, (end) => choose(Math.min(from, end - LEAST_MS), end, most)))] : null,
    el("p", { class: "small shown" }, `${lasts > 864e5 ? `${day(from)} to ${day(to)} UTC` : `${both(from)} to ${both(to)}`}, ${lasting(lasts / 1000)}${zoomed ? "" : ", follows what comes"}. `,
      past.busy ? "Asking the store … " : step_s ? `By ${lasting(step_s)}, from the store: quantiles are means of the windows' quantiles. ` : "", past.fault ? el("span", {}, "Only what this console remembers: ", el("bdi", {}, past.fault), ".") : "Drag over a chart to look closer."));
}
