// How values, spans and times are written.
export const percent = (share, digits = 3) => `${Number((share * 100).toPrecision(digits))} %`;
export const millis = (us) => `${Number((us / 1000).toPrecision(3))} ms`;
export const number = (value) => (Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(1) : Number(value.toPrecision(3)).toString());
export const span = (s) => (s < 90 ? `${Math.max(0, Math.ceil(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : s < 129600 ? `${Number((s / 3600).toFixed(1))} h` : `${Math.round(s / 86400)} days`);
export const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
export const day = (ms) => new Date(ms).toISOString().slice(5, 16).replace("T", " ");

// UTC for logs, and what the wall clock here says.
export function both(ms) {
  const here = new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return here === clock(ms) ? `${clock(ms)} UTC` : `${clock(ms)} UTC (${here} here)`;
}

// As `show_bytes` of schemas/units.py.
export function bytes(size) {
  for (const [power, unit] of [[30, "GiB"], [20, "MiB"], [10, "KiB"]]) {
    if (Math.abs(size) >= 2 ** power) return `${Number((size / 2 ** power).toPrecision(3))} ${unit}`;
  }
  return `${Number(size.toPrecision(3))} B`;
}

const isBytes = (sli) => (sli.field ?? "").endsWith("_bytes");
const isTime = (sli) => sli.type.startsWith("latency") || sli.field === "duration_us" || sli.field === "cpu_us";

// A value of an SLI; an effect is in its tolerance's own unit: a relative one in percent, a share's absolute one in points.
export function value(sli, v) {
  if (v === null || v === undefined) return "–";
  return sli.type === "error_ratio" ? percent(v) : isTime(sli) ? millis(v) : isBytes(sli) ? bytes(v) : number(v);
}
export function effect(sli, v, sign = true) {
  if (v === null || v === undefined) return "…";
  if (isBytes(sli) && !sli.relative) return `${sign && v > 0 ? "+" : ""}${bytes(v)}`;
  const points = sli.type === "error_ratio";
  const scaled = sli.relative || points ? v * 100 : isTime(sli) ? v / 1000 : v;
  const unit = sli.relative ? " %" : points ? " pp" : isTime(sli) ? " ms" : "";
  return `${sign && v > 0 ? "+" : ""}${number(scaled)}${unit}`;
}

// What each conclusion and action is called at 3 am, with a sign that needs no colour.
export const STANDING = {
  HARM: ["✖", "HARM", "bad"], HEALTHY: ["✔", "HEALTHY", "good"], INCONCLUSIVE: ["◔", "WATCHING", "run"],
  NO_DATA: ["⋯", "NOT ENOUGH DATA", "wait"], INVALID: ["⚠", "CANNOT JUDGE", "wait"],
};
export const SIGN = { ROLLBACK: "✖", HOLD: "‖", CONTINUE: "◔", ADVANCE: "▲", PROMOTE: "✔" };
export const DOES = {
  ROLLBACK: "Davy gives control all traffic", HOLD: "Davy waits where it is", CONTINUE: "Davy keeps the step and watches",
  ADVANCE: "Davy goes to the next step", PROMOTE: "Davy gives the candidate all traffic",
};
export const standing = (conclusion) => STANDING[conclusion] ?? ["○", "WAITING", "wait"];
