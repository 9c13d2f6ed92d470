// What came before the page's own memory: asked of the store, and put together with what is live.
import { get, now } from "./store.js";

const AGAIN_MS = 60e3, SLACK_MS = 10e3, POINTS = 500, MARGIN = 0.01;
const QUANTILES = ["mean_us", "p50_us", "p90_us", "p95_us", "p99_us", "p999_us"], COUNTS = ["rows", "errors", "requests", "late", "quarantined", "duplicates"];
const iso = (ms) => new Date(ms).toISOString();

// Windows told together by `step` ms, as the store does it: counts are sums, the rest is weighted by requests.
export function buckets(windows, step) {
  const held = new Map();
  for (const w of windows) {
    const start = Math.floor(Date.parse(w.start) / step) * step, key = `${w.variant} ${start}`;
    if (!held.has(key)) held.set(key, { start, variant: w.variant, of: [] });
    held.get(key).of.push(w);
  }
  return [...held.values()].map(({ start, variant, of }) => {
    const mean = (value) => {
      let sum = 0, weight = 0;
      for (const w of of) { const v = value(w); if (v !== null && v !== undefined) { sum += v * w.requests; weight += w.requests; } }
      return weight ? sum / weight : null;
    };
    const names = new Set(of.flatMap((w) => Object.keys(w.measures)));
    return {
      variant, start: iso(start), end: iso(start + step), measures: Object.fromEntries([...names].map((name) => [name, mean((w) => w.measures[name])])),
      ...Object.fromEntries(COUNTS.map((name) => [name, of.reduce((sum, w) => sum + w[name], 0)])), ...Object.fromEntries(QUANTILES.map((name) => [name, mean((w) => w[name])])),
    };
  });
}

const first = (items, time) => (items.length ? Date.parse(time(items[0])) : Infinity); // of items in order
const without = (items, held, key) => { const known = new Set(held.map(key)); return items.filter((item) => !known.has(key(item))); };

export class Past {
  constructor(path, ondone) { this.path = `${path}/history?report=true`; this.ondone = ondone; this.told = null; this.whole = null; this.fault = null; this.busy = false; this.again = 0; this.old = new Map(); }

  // Everything that the store has of the service, for the overview; once in a while anew.
  async look() {
    this.looked = now();
    try {
      const since = await get(`${this.path}&points=200`);
      this.fault = since.fault;
      const whole = since.held ? await get(`${this.path}&points=200&from=${since.held.from}&to=${since.to}`) : null;
      if (whole?.fault) this.fault = whole.fault; // the store went away between the two
      else this.whole = whole ?? this.whole;
      if (!this.fault) this.since = Date.parse(since.windows.find((w) => w.variant !== null)?.start ?? "");
    } catch (error) { this.fault = error.message; }
    this.ondone();
  }

  // Whether the span [from, to] goes back beyond what is live, and then: ask for it unless that was done.
  need([from, to], live) {
    const begun = first(live, (w) => w.start);
    if (this.fault || from >= begun - SLACK_MS || (this.since >= begun - SLACK_MS && !(this.whole && Date.parse(this.whole.from) < begun && from < begun - 60e3))) { this.told = null; return; }
    const key = `${Math.round(from / 1000)} ${Math.round(to / 1000)}`, held = this.told;
    const fits = held && held.begin <= from && held.end >= to - Math.max(AGAIN_MS, held.step_s * 2000) && held.end - held.begin < 2 * (to - from) && from - held.begin < (to - from) / 2;
    if (fits || this.busy || (this.failed === key && Date.now() < this.again)) return;
    this.busy = true;
    const begin = Math.max(0, from - MARGIN * (to - from));
    get(`${this.path}&points=${POINTS}&from=${iso(begin)}&to=${iso(to)}`).then((told) => {
      if (told.fault) throw new Error(told.fault);
      this.told = { ...told, begin, end: to };
    }).catch((error) => { this.fault = error.message; this.failed = key; this.again = Date.now() + AGAIN_MS; this.told = null; })
      .finally(() => { this.busy = false; this.ondone(); });
  }

  // One list of each kind: the store's up to where the live ones begin. `rest` is the service outside the experiment.
  mix(records) {
    const { windows, verdicts, decisions, annotations } = records, past = this.told;
    if (!past) return { windows, verdicts, decisions, annotations, rest: [], evidence: [], step_s: null };
    const step = past.step_s * 1000, begun = first(windows, (w) => w.start), cut = begun === Infinity ? Infinity : Math.ceil(begun / step) * step, judged = first(verdicts, (v) => v.event_time);
    const before = (time, border) => (item) => Date.parse(time(item)) < border;
    const late = windows.filter((w) => Date.parse(w.start) >= cut);
    return {
      windows: [...past.windows.filter((w) => w.variant !== null && Date.parse(w.start) < cut), ...(past.step_s > 10 ? buckets(late, step) : late)],
      rest: past.windows.filter((w) => w.variant === null), evidence: past.evidence.filter(before((e) => e.time, judged)), step_s: past.step_s,
      verdicts: [...past.verdicts.filter(before((v) => v.event_time, judged)), ...verdicts],
      decisions: [...decisions, ...without(past.decisions, decisions, (d) => `${d.decision_id} ${d.outcome}`).reverse()],
      annotations: [...without(past.annotations, annotations, (a) => `${a.time} ${a.body.text}`), ...annotations],
    };
  }

  // An old verdict in full, once it has come; `undefined` until then, `null` where there is none.
  verdict(path, id) {
    if (!this.old.has(id)) {
      this.old.set(id, undefined);
      get(`${path}/verdicts/${encodeURIComponent(id)}`).then((v) => this.old.set(id, v), () => this.old.set(id, null)).finally(() => this.ondone());
    }
    return this.old.get(id);
  }
}
