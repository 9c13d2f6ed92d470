// Charts as SVG over one span of time; knows nothing of the rest. Long series are thinned to what the pixels can show.
import { svg } from "./dom.js";
import { clock, day } from "./format.js";

const LEFT = 52, RIGHT = 10, TOP = 16, BOTTOM = 20, WIDTH = 540, POINTS = 500;
const LONG_MS = 36 * 3600e3;

export const fitting = (wide) => Math.max(300, Math.min(wide, innerWidth - 64));

function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 7.5, 10].find((step) => step * unit >= value * 0.9999) * unit;
}

// Of each slice the least and the greatest: no spike is lost.
export function thin(points, most = POINTS) {
  if (points.length <= most) return points;
  const out = [], size = Math.ceil((2 * points.length) / most);
  for (let i = 0; i < points.length; i += size) {
    const part = points.slice(i, i + size).filter(([, v]) => v !== null);
    if (part.length === 0) { out.push(points[i]); continue; }
    let low = part[0], high = part[0];
    for (const point of part) { if (point[1] < low[1]) low = point; if (point[1] > high[1]) high = point; }
    out.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return out;
}

// lines: [{name, kind, points: [[ms, value|null]], stepped?}]; marks: [{ms, text, kind}]; level: {value, text}; height, low (of the scale)
export function chart(title, lines, { span: [from, to], marks = [], format, level = null, height = 150, low = 0, top = null, wide = fitting(WIDTH), onspan = null, shade = null, empty = "nothing in this span" }) {
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": title });
  const seen = lines.map((line) => ({ ...line, points: thin(line.points.filter(([ms]) => ms >= from && ms <= to)) }));
  const values = seen.flatMap((line) => line.points.map(([, v]) => v)).filter((v) => v !== null);
  if (values.length === 0) {
    root.append(svg("text", { x: wide / 2, y: height / 2, "text-anchor": "middle" }, empty));
    return root;
  }
  const high = top ?? ceiling(Math.max(...values, level?.value ?? -Infinity) * 1.05);
  const x = (ms) => LEFT + ((ms - from) / (to - from)) * (wide - LEFT - RIGHT);
  const y = (v) => height - BOTTOM - ((Math.min(Math.max(v, low), high) - low) / (high - low)) * (height - TOP - BOTTOM);
  for (const part of [0, 0.5, 1]) {
    const v = low + part * (high - low);
    root.append(svg("line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(v), y2: y(v) }), svg("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, format(v)));
  }
  if (shade) root.append(svg("rect", { class: "shade", x: x(Math.max(from, shade[0])), width: Math.max(3, x(Math.min(to, shade[1])) - x(Math.max(from, shade[0]))), y: TOP, height: height - TOP - BOTTOM }));
  for (const [ms, anchor] of [[from, "start"], [(from + to) / 2, "middle"], [to, "end"]]) root.append(svg("text", { x: x(ms), y: height - 4, "text-anchor": anchor }, to - from > LONG_MS ? day(ms) : clock(ms)));
  const within = marks.filter((mark) => mark.ms >= from && mark.ms <= to).sort((a, b) => a.ms - b.ms), taken = [];
  for (const { ms, text, kind = "mark" } of within) root.append(svg("line", { class: kind, x1: x(ms), x2: x(ms), y1: TOP, y2: height - BOTTOM }, svg("title", {}, `${clock(ms)} ${text}`)));
  for (const { ms, text, kind = "mark" } of within.sort((a, b) => (b.kind === "bad") - (a.kind === "bad"))) { // a rollback is never left out
    const short = text.length > 22 ? `${[...text].slice(0, 21).join("")}…` : text, needs = short.length * 6.2;
    const begin = Math.max(LEFT, Math.min(x(ms) + 3, wide - RIGHT - needs));
    if (taken.some(([left, right]) => begin < right && begin + needs + 8 > left)) continue;
    root.append(svg("text", { class: `tag ${kind}`, x: begin, y: TOP - 5 }, short));
    taken.push([begin, begin + needs + 8]);
  }
  if (level) {
    root.append(svg("line", { class: "level", x1: LEFT, x2: wide - RIGHT, y1: y(level.value), y2: y(level.value) }));
    root.append(svg("text", { class: "tag level", x: LEFT + 4, y: y(level.value) + 12 }, level.text));
  }
  for (const line of seen) {
    let path = "", pen = "M", last = null;
    for (const [ms, v] of line.points) {
      if (v === null) { pen = "M"; continue; }
      if (line.stepped && last !== null) path += `L${x(ms).toFixed(1)},${y(last).toFixed(1)}`;
      path += `${pen}${x(ms).toFixed(1)},${y(v).toFixed(1)}`;
      pen = "L"; last = v;
    }
    root.append(svg("path", { class: line.kind, d: path }, svg("title", {}, line.name)));
  }
  if (onspan) brush(root, wide, height, (px) => from + ((px - LEFT) / (wide - LEFT - RIGHT)) * (to - from), onspan);
  return root;
}

// Drag over a span to look closer.
function brush(root, wide, height, time, onspan) {
  let start = null;
  const box = svg("rect", { class: "brush", y: TOP, height: height - TOP - BOTTOM, width: 0, x: 0 });
  const at = (event) => { const r = root.getBoundingClientRect(); return Math.max(LEFT, Math.min(wide - RIGHT, ((event.clientX - r.left) / r.width) * wide)); };
  root.append(box);
  root.addEventListener("pointerdown", (event) => { if (event.button === 0) { start = at(event); root.setPointerCapture(event.pointerId); } });
  root.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const now = at(event);
    box.setAttribute("x", Math.min(start, now)); box.setAttribute("width", Math.abs(now - start));
  });
  root.addEventListener("pointerup", (event) => {
    const begin = start, end = at(event);
    start = null; box.setAttribute("width", 0);
    if (begin !== null && Math.abs(end - begin) > 8) onspan([time(Math.min(begin, end)), time(Math.max(begin, end))]);
  });
}

// An effect with its band on one line: zero, what is tolerated, and how sure we are.
export function band(title, { lower, upper, effect, tolerance, worse }, format) {
  const wide = fitting(WIDTH), height = 44, known = [0, lower, upper, effect, worse * tolerance].filter((v) => v !== null && Number.isFinite(v));
  const least = Math.min(...known), most = Math.max(...known), room = (most - least || 1) * 0.12;
  const x = (v) => 10 + ((v - least + room) / (most - least + 2 * room)) * (wide - 20);
  const root = svg("svg", { class: "chart band", viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": title });
  const line = (v, kind, text) => root.append(svg("line", { class: kind, x1: x(v), x2: x(v), y1: 4, y2: 28 }), svg("text", { class: `tag ${kind}`, x: Math.max(20, Math.min(wide - 36, x(v))), y: 41, "text-anchor": "middle" }, text));
  root.append(svg("line", { class: "grid", x1: 4, x2: wide - 4, y1: 16, y2: 16 }));
  line(0, "zero", "0");
  if (Math.abs(x(worse * tolerance) - x(0)) > 24) line(worse * tolerance, "level", `allowed ${format(worse * tolerance)}`);
  if (effect !== null) {
    const from = x(lower ?? least - room), to = x(upper ?? most + room);
    root.append(svg("rect", { class: "confidence", x: from, width: Math.max(2, to - from), y: 9, height: 14, rx: 3 }), svg("circle", { class: "effect", cx: x(effect), cy: 16, r: 5 }));
  }
  return root;
}
