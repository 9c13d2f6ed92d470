// The page: one view at a time, by the address; what it shows comes from the console's JSON and its stream.
import { el } from "./dom.js";
import { span } from "./format.js";
import { experiment } from "./experiment.js";
import { learned } from "./learned.js";
import { overview } from "./overview.js";
import { LEARNED, link, read } from "./view.js";

const READY_MS = 5000;
const main = document.getElementById("main"), lamp = document.getElementById("health");
let close = null, shown = null, connected = false, fault = null, lostAt = Date.now();

const health = {
  alive() { connected = true; paint(); },
  heard() { connected = true; paint(); },
  lost() { if (connected) lostAt = Date.now(); connected = false; paint(); },
};

function paint() {
  const text = !connected ? `✖ no connection for ${span((Date.now() - lostAt) / 1000)}: what you see may be old; trying again` : fault ? `⚠ ${fault}` : "● live";
  if (lamp.textContent !== text) lamp.textContent = text;
  lamp.className = connected && !fault ? "" : "bad";
}

async function ready() {
  try {
    const answer = await fetch("/readyz?report=true").then((response) => response.json());
    fault = answer.ready ? null : answer.reason;
  } catch { fault = null; }
  paint();
}

function route() {
  const { id } = read();
  if (id === shown) { dispatchEvent(new Event("view")); return; }
  close?.();
  shown = id;
  main.replaceChildren(el("p", { class: "quiet" }, "Loading …"));
  document.title = "Davy";
  close = id === LEARNED ? learned(main, health) : id ? experiment(main, id, health) : overview(main, health);
  document.getElementById("up").hidden = !id;
  document.getElementById("learned").hidden = id === LEARNED;
  scrollTo(0, 0);
}

addEventListener("hashchange", route);
addEventListener("popstate", () => dispatchEvent(new Event("view")));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) return;
  if (event.key === "/") { event.preventDefault(); document.querySelector("input[type=search]")?.focus(); }
  if (event.key === "u" && read().id) location.hash = link("");
});
setInterval(ready, READY_MS);
setInterval(paint, 1000);
ready();
route();
