// What was tried so far and what came of it: from the store, found by words of specs, ledgers and reports.
import { card, el, said } from "./dom.js";
import { day } from "./format.js";
import { get } from "./store.js";
import { link, read, set } from "./view.js";

const SHOWN = 100, TYPED_MS = 250, AGAIN_MS = 10e3;
const ENDED = { promoted: ["✔", "good"], rolled_back: ["✖", "bad"], aborted: ["■", "wait"] };

export function learned(main, health) {
  let stopped = false, typing = null, asked = 0, shown = SHOWN;
  const find = () => read().ask.get("find") ?? "";
  const search = el("input", { type: "search", placeholder: "Find by words of hypothesis, owner, service, ledger or report  ( / )", "aria-label": "Find what was learned", maxlength: 200, value: find(), oninput: () => set({ find: search.value }, { replace: true }) });
  const count = el("span", { class: "small", role: "status" }), list = el("div"), more = el("button", { type: "button", onclick: () => { shown += SHOWN; look(); } }, "show more");
  main.replaceChildren(card("What was learned", { class: "learned" }, el("div", { class: "tools" }, search, count), list, more));

  async function look() {
    const turn = (asked += 1);
    try {
      const { items, next } = await get(`/v1/reports?limit=${Math.min(shown, 2000)}&find=${encodeURIComponent(find())}`);
      if (stopped || turn !== asked) return;
      health.heard();
      count.textContent = `${items.length}${next === null ? "" : " and more"}`;
      more.hidden = next === null || shown >= 2000;
      list.replaceChildren(items.length ? el("ol", { class: "ledger records" }, ...items.map(record)) : el("p", { class: "quiet" }, find() ? "Nothing fits." : "No experiment was applied yet."));
    } catch (error) {
      if (stopped || turn !== asked) return;
      if (error.status) health.heard(); else health.lost();
      count.textContent = "";
      more.hidden = true;
      list.replaceChildren(el("p", { class: "fault" }, "The store tells nothing: ", said(error.message), " Trying again."));
    }
  }

  function record({ experiment_id: id, began, state, service, owner, hypothesis }) {
    const [sign, kind] = ENDED[state] ?? ["◔", "run"], report = `/v1/experiments/${encodeURIComponent(id)}/report?format=html`;
    return el("li", {}, el("time", { datetime: began }, day(Date.parse(began))), el("span", {}, el("span", { class: `pill ${kind}` }, `${sign} ${state ? state.replaceAll("_", " ") : "not begun"}`)),
      el("div", { class: "what" }, el("a", { href: link(id) }, el("b", {}, el("bdi", {}, id))), ": ", hypothesis ? said(hypothesis) : el("span", { class: "quiet" }, "no hypothesis was written down"),
        el("span", { class: "small" }, ` ${service}`, owner ? [" · ", el("bdi", {}, owner)] : null, " · ", el("a", { href: report, target: "_blank" }, "report"))));
  }

  const changed = () => {
    if (search.value !== find()) search.value = find();
    shown = SHOWN;
    clearTimeout(typing);
    typing = setTimeout(look, TYPED_MS);
  };
  addEventListener("view", changed);
  more.hidden = true;
  look();
  const again = setInterval(() => { if (!document.hidden) look(); }, AGAIN_MS);
  return () => { stopped = true; clearTimeout(typing); clearInterval(again); removeEventListener("view", changed); };
}
