// All experiments: a list of which only the rows on screen exist, kept current by one stream.
import { card, el } from "./dom.js";
import { SIGN, clock, percent, standing } from "./format.js";
import { get, listen } from "./store.js";
import { link, read, set } from "./view.js";

const ROW = 52, SPARE = 3, CHANGES = 20, CHANGES_MS = 10000;
const WORST = ["HARM", "INVALID", "NO_DATA", "INCONCLUSIVE", "HEALTHY", "NONE"];
const conclusion = (item) => item.verdict?.conclusion ?? "NONE";

export function overview(main, health) {
  const items = new Map();
  let rows = [], drawn = "", stopped = false, made = new Map();
  const search = el("input", { type: "search", placeholder: "Find by name, service, owner or reason  ( / )", "aria-label": "Find experiments", "data-focus": "find", value: read().ask.get("find") ?? "", oninput: () => set({ find: search.value }, { replace: true }) });
  const filters = el("div", { class: "filters", role: "group", "aria-label": "Show" });
  const space = el("div", { class: "space" }), list = el("div", { class: "list", role: "list", tabindex: "0", "aria-label": "Experiments" }, space);
  const empty = el("p", { class: "quiet" });
  const services = el("div");
  main.replaceChildren(card("Experiments", { class: "overview" }, el("div", { class: "tools" }, search, filters), empty, list), services);

  // What the watch found in services that no experiment judges.
  async function watched() {
    const found = (await get(`/v1/changes?limit=${CHANGES}`).catch(() => ({ items: [] }))).items;
    if (stopped) return;
    services.replaceChildren(...(found.length ? [card("Changes of services", {}, el("ul", { class: "small" }, ...found.map((change) => {
      const word = change.kind === "anomaly" ? "anomaly" : change.conclusion;
      return el("li", {}, el("span", { class: `pill ${word === "HARM" ? "bad" : "wait"}` }, word), ` ${change.service} ${change.variant === "*" ? "" : change.variant} (${change.environment}): `, el("bdi", {}, change.reason));
    })))] : []));
  }
  list.addEventListener("scroll", paint);
  list.addEventListener("keydown", move);

  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const at = Number(document.activeElement?.dataset?.row ?? -1);
    const next = event.key === "Home" ? 0 : event.key === "End" ? rows.length - 1 : Math.max(0, Math.min(rows.length - 1, at + step));
    const y = next * ROW;
    if (y < list.scrollTop) list.scrollTop = y;
    if (y + ROW > list.scrollTop + list.clientHeight) list.scrollTop = y + ROW - list.clientHeight;
    paint();
    space.querySelector(`[data-row="${next}"]`)?.focus();
  }

  function choose() {
    const { ask } = read(), find = (ask.get("find") ?? "").toLowerCase(), show = ask.get("show");
    if (search.value.toLowerCase() !== find) search.value = ask.get("find") ?? "";
    const found = [...items.values()].filter((item) => !find || `${item.id} ${item.service} ${item.environment} ${item.owner ?? ""} ${item.verdict?.reason ?? ""}`.toLowerCase().includes(find));
    const counts = {};
    for (const item of found) counts[conclusion(item)] = (counts[conclusion(item)] ?? 0) + 1;
    filters.replaceChildren(...[null, ...WORST].filter((name) => name === null || counts[name] || name === show).map((name) => {
      const [sign, word] = name ? standing(name) : ["", "all"];
      return el("button", { type: "button", "data-focus": `show ${name}`, "aria-pressed": String((show ?? null) === name), onclick: () => set({ show: name }) }, `${sign} ${word} ${name ? counts[name] ?? 0 : found.length}`);
    }));
    rows = found.filter((item) => !show || conclusion(item) === show)
      .sort((a, b) => WORST.indexOf(conclusion(a)) - WORST.indexOf(conclusion(b)) || (a.id < b.id ? -1 : 1));
    empty.textContent = rows.length ? "" : items.size ? "Nothing fits." : "No experiments yet. Put one in force with: davy apply experiment.yaml";
    space.style.height = `${rows.length * ROW}px`;
    paint(true);
  }

  function paint(anew) {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
    if (anew !== true && drawn === `${first} ${last}`) return;
    drawn = `${first} ${last}`;
    const focus = document.activeElement?.closest?.(".space") ? document.activeElement.dataset.id : null;
    const nodes = rows.slice(first, last).map((item, i) => kept(item, first + i)), wanted = new Set(nodes);
    for (const node of [...space.children]) if (!wanted.has(node)) node.remove();
    nodes.forEach((node, i) => { if (space.children[i] !== node) space.insertBefore(node, space.children[i] ?? null); });
    made = new Map(nodes.map((node) => [node.firstChild.dataset.id, made.get(node.firstChild.dataset.id)]));
    if (focus && document.activeElement?.dataset?.id !== focus) space.querySelector(`[data-id="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }

  // The row on screen, made anew only when it changed.
  function kept(item, index) {
    const held = made.get(item.id);
    if (held?.item === item && held.index === index && held.of === rows.length) return held.node;
    const node = row(item, index);
    made.set(item.id, { item, index, of: rows.length, node });
    return node;
  }

  function row(item, index) {
    const [sign, word, kind] = standing(item.verdict?.conclusion);
    const weights = Object.entries(item.weights).filter(([name]) => name !== item.control).map(([name, share]) => `${name} ${percent(share)}`).join(", ");
    return el("div", { role: "listitem", class: "row", style: { transform: `translateY(${index * ROW}px)` }, "aria-setsize": rows.length, "aria-posinset": index + 1 },
      el("a", { href: link(item.id), "data-row": index, "data-id": item.id },
        el("span", { class: `pill ${kind}` }, `${sign} ${word}`),
        el("span", { class: "name" }, el("b", {}, item.id), el("span", { class: "small" }, `${item.service} · ${item.environment}${item.owner ? ` · ${item.owner}` : ""}`)),
        el("span", { class: "where" }, item.step === null ? "not started" : `step ${item.step + 1} of ${item.steps}`, el("span", { class: "small" }, weights)),
        el("span", { class: "why" }, item.verdict ? `${SIGN[item.verdict.action]} ${item.verdict.action.toLowerCase()}: ` : "", el("bdi", {}, item.verdict?.reason ?? "no verdict yet")),
        el("time", { class: "small" }, item.verdict ? clock(Date.parse(item.verdict.issued_at)) : "")));
  }

  let frame = null;
  const soon = () => { frame ??= requestAnimationFrame(() => { frame = null; if (!stopped) choose(); }); };
  const close = listen("/v1/stream?overview=true", ["experiments"], {
    onopen: () => health.alive(), onlost: () => health.lost(),
    onevent: (_, told) => { for (const item of told) items.set(item.id, item); health.heard(); soon(); },
  });
  addEventListener("view", soon);
  addEventListener("resize", paint);
  choose();
  watched();
  const again = setInterval(watched, CHANGES_MS);
  return () => { stopped = true; clearInterval(again); close(); removeEventListener("view", soon); removeEventListener("resize", paint); };
}
