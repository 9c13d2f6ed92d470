// One experiment's records as the page knows them: what was asked for and what came over the stream, each once.
const WINDOWS = 4000, VERDICTS = 600, DECISIONS = 1000;
const KEYS = {
  window: (w) => `${w.start} ${w.version} ${w.variant ?? ""}`, verdict: (v) => v.verdict_id,
  decision: (d) => `${d.decision_id} ${d.outcome}`, annotation: (a) => `${a.time} ${a.body.text}`,
};
const MOST = { window: WINDOWS, verdict: VERDICTS, decision: DECISIONS, annotation: 500 };

export class Records {
  constructor() { this.kinds = Object.fromEntries(Object.keys(KEYS).map((kind) => [kind, new Map()])); this.version = 0; this.inOrder = new Map(); }

  // Whether it was news: a repetition is none, a later revision of a window is.
  take(kind, record) {
    const held = this.kinds[kind], key = KEYS[kind](record), before = held.get(key);
    if (before && !(kind === "window" && record.revision > before.revision)) return false;
    held.set(key, record);
    if (held.size > MOST[kind]) held.delete(held.keys().next().value);
    this.version += 1;
    this.inOrder.delete(kind);
    return true;
  }

  // Kept until there is news of that kind.
  sorted(kind, by) {
    if (!this.inOrder.has(kind)) this.inOrder.set(kind, [...this.kinds[kind].values()].map((item) => [by(item), item]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, item]) => item));
    return this.inOrder.get(kind);
  }
  get windows() { return this.sorted("window", (w) => w.start); }
  get verdicts() { return this.sorted("verdict", (v) => v.event_time + String(v.sequence).padStart(12, "0")); }
  get decisions() { return this.sorted("decision", (d) => d.time + String(d.sequence).padStart(12, "0")).toReversed(); }
  get annotations() { return this.sorted("annotation", (a) => a.time); }
}

// The console's clock counts, not this machine's, which may be an hour off.
let ahead = 0;
export const now = () => Date.now() + ahead;

export async function get(path) {
  const response = await fetch(path), told = Date.parse(response.headers.get("Davy-Now") ?? "");
  if (!Number.isNaN(told)) ahead = told - Date.now();
  if (!response.ok) throw Object.assign(new Error((await response.json()).error ?? response.statusText), { status: response.status });
  return response.json();
}

// Every page of a listing, up to `most` items.
export async function all(path, most = 4000) {
  const items = [];
  for (let next = 0; next !== null && items.length < most;) {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=2000&cursor=${next}`);
    items.push(...page.items);
    next = page.next;
  }
  return items;
}

// Events of `path`; `onopen` at the first and at each further connection, when what was missed must be asked for.
export function listen(path, kinds, { onopen, onlost, onevent }) {
  const source = new EventSource(path);
  source.addEventListener("open", onopen);
  source.addEventListener("error", () => onlost());
  for (const kind of kinds) source.addEventListener(kind, (event) => onevent(kind, JSON.parse(event.data)));
  return () => source.close();
}
