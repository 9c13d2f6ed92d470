// One chart: a line per variant over event time, marks for what was decided. Draws with SVG, knows nothing of the rest.
const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 14, BOTTOM = 22;

function svg(name, attributes, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 7.5, 10].find((step) => step * unit >= value) * unit;
}

export const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

// lines: [{name, kind: "control"|"candidate", points: [[ms, value|null], ...]}]; marks: [{ms, text}]
export function chart(title, lines, marks, format) {
  const width = Math.max(320, Math.round(Math.min(innerWidth - 60, 540)));
  const points = lines.flatMap((line) => line.points).filter(([, value]) => value !== null);
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": title });
  if (points.length === 0) {
    root.append(svg("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no windows yet"));
    return root;
  }
  const times = points.map(([ms]) => ms);
  const from = Math.min(...times), to = Math.max(...times, from + 30000);
  const top = ceiling(Math.max(...points.map(([, value]) => value)) * 1.05);
  const x = (ms) => LEFT + ((ms - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  for (const part of [0, 0.5, 1]) {
    root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(part * top), y2: y(part * top) }));
    root.append(svg("text", { x: LEFT - 6, y: y(part * top) + 4, "text-anchor": "end" }, format(part * top)));
  }
  for (const [ms, anchor] of [[from, "start"], [to, "end"]]) {
    root.append(svg("text", { x: x(ms), y: HEIGHT - 5, "text-anchor": anchor }, clock(ms)));
  }
  let free = -Infinity;
  for (const { ms, text } of marks.filter((mark) => mark.ms >= from && mark.ms <= to).sort((a, b) => a.ms - b.ms)) {
    root.append(svg("line", { class: "mark", x1: x(ms), x2: x(ms), y1: TOP, y2: HEIGHT - BOTTOM }));
    const wide = text.length * 6.2;
    const begin = Math.min(x(ms) + 3, width - RIGHT - wide);
    if (begin < free) continue;
    root.append(svg("text", { class: "tag", x: begin, y: TOP - 4 }, text));
    free = begin + wide + 8;
  }
  for (const line of lines) {
    let path = "", pen = "M";
    for (const [ms, value] of line.points) {
      if (value === null) { pen = "M"; continue; }
      path += `${pen}${x(ms).toFixed(1)},${y(value).toFixed(1)}`;
      pen = "L";
    }
    const drawn = svg("path", { class: line.kind, d: path });
    drawn.append(svg("title", {}, line.name));
    root.append(drawn);
  }
  return root;
}
