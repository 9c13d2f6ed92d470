// Elements. Text only ever goes in as text, and what others wrote stands apart, so that its direction turns nothing around.
const NS = "http://www.w3.org/2000/svg", LONG = 300;

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(node.style, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}
export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(NS, name), attributes, children);
export const card = (title, attributes, ...children) => el("section", attributes, el("h2", {}, ...[title].flat()), ...children);

// Words of a person or a program: the long ones are folded.
export function said(text) {
  if (text.length <= LONG) return el("bdi", {}, text);
  return el("details", { class: "said" }, el("summary", {}, el("bdi", {}, `${[...text.slice(0, LONG)].slice(0, -1).join("")} …`)), el("bdi", {}, text));
}

// Nothing is replaced under a pressed button or a finger: a press and its release must meet the same element.
let pressing = false, after = null;
function release() {
  if (!pressing) return;
  pressing = false;
  setTimeout(() => { if (!pressing) after?.(); });
}
addEventListener("pointerdown", () => { pressing = true; }, true);
addEventListener("pointermove", (event) => { if (event.buttons === 0) release(); }, true);
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, release, true);

// Sections by key: one is made anew only when what it shows changed, and the focus stays where it was.
export class Board {
  constructor(root) { this.root = root; this.held = new Map(); this.closed = false; }

  close() { this.closed = true; }

  show(parts) {
    if (this.closed) return;
    after = pressing ? () => this.show(parts) : null;
    if (pressing) return;
    const focus = document.activeElement?.dataset?.focus;
    const nodes = [];
    const held = new Map();
    for (const { key, of, make } of parts) {
      const sign = JSON.stringify(of);
      const before = this.held.get(key);
      const now = before?.sign === sign ? before : { sign, node: make() };
      if (before?.node && now.node && before !== now) for (const open of before.node.querySelectorAll("details[open]")) {
        const same = open.dataset.focus && now.node.querySelector(`details[data-focus="${CSS.escape(open.dataset.focus)}"]`);
        if (same) same.open = true;
      }
      held.set(key, now);
      if (now.node) nodes.push(now.node);
    }
    this.held = held;
    const children = [...this.root.children];
    if (nodes.length !== children.length || nodes.some((node, i) => node !== children[i])) {
      for (const child of children) if (!nodes.includes(child)) child.remove();
      nodes.forEach((node, i) => { if (this.root.children[i] !== node) this.root.insertBefore(node, this.root.children[i] ?? null); });
    }
    if (focus && document.activeElement?.dataset?.focus !== focus) this.root.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }
}
