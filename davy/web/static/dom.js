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

// Sections by key: one is made anew only when what it shows changed, and the focus stays where it was. Many at once are made a
// few in each frame, so that no frame waits for all of them.
const BUDGET_MS = 2;
const soon = (what) => (document.hidden ? setTimeout(what) : requestAnimationFrame(what));

export class Board {
  constructor(root) { this.root = root; this.held = new Map(); this.closed = false; this.turn = 0; }

  close() { this.closed = true; }

  show(parts) {
    if (this.closed) return;
    after = pressing ? () => this.show(parts) : null;
    if (pressing) return;
    this.turn += 1;
    const keys = new Set(parts.map(({ key }) => key));
    for (const key of this.held.keys()) if (!keys.has(key)) this.held.delete(key);
    const known = new Set([...this.held.values()].map(({ node }) => node));
    for (const child of [...this.root.children]) if (!known.has(child)) child.remove();
    const turn = this.turn; // what is to be shown was worked out in this frame: the cards come in the next
    soon(() => (pressing ? this.show(parts) : this.go(parts, 0, null, turn)));
  }

  go(parts, index, last, turn) {
    const begun = performance.now();
    for (let i = index; i < parts.length; i += 1) {
      if (this.closed || turn !== this.turn) return;
      if (i > index && performance.now() - begun > BUDGET_MS) { soon(() => (pressing ? this.show(parts) : this.go(parts, i, last, turn))); return; }
      last = this.one(parts[i], last);
    }
  }

  // Puts a section after the one before it; the last that is there.
  one({ key, of, make }, last) {
    const sign = JSON.stringify(of), before = this.held.get(key), focus = document.activeElement?.dataset?.focus;
    const now = before?.sign === sign ? before : { sign, node: make() };
    this.held.set(key, now);
    if (before !== now && before?.node) {
      const hadFocus = before.node.contains(document.activeElement);
      if (now.node) {
        for (const open of before.node.querySelectorAll("details[open]")) {
          const same = open.dataset.focus && now.node.querySelector(`details[data-focus="${CSS.escape(open.dataset.focus)}"]`);
          if (same) same.open = true;
        }
        before.node.replaceWith(now.node);
        if (focus && hadFocus) now.node.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
      } else before.node.remove();
    }
    if (!now.node) return last;
    const next = last ? last.nextElementSibling : this.root.firstElementChild;
    if (next !== now.node) this.root.insertBefore(now.node, next);
    return now.node;
  }
}
