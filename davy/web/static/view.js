// What is looked at lives in the address, so that a link shows the same: #/, #/e/ID or #/-/learned, then ?name=value.
export const LEARNED = "-/learned"; // no experiment has that name

export function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const named = path.startsWith("e/") ? path.slice(2) : path;
  let id = "";
  try { id = decodeURIComponent(named); } catch { id = named; }
  return { id, ask: new URLSearchParams(query) };
}

export function link(id, ask = new URLSearchParams()) {
  const query = ask.toString();
  return `#/${id === LEARNED ? id : id ? `e/${encodeURIComponent(id)}` : ""}${query ? `?${query}` : ""}`;
}

// Change some of the view; null takes one away. Typing replaces the step in the browser's history, looking adds one.
export function set(changes, { replace = false } = {}) {
  const { id, ask } = read();
  for (const [name, value] of Object.entries(changes)) if (value === null || value === "") ask.delete(name); else ask.set(name, value);
  history[replace ? "replaceState" : "pushState"](null, "", link(id, ask));
  dispatchEvent(new Event("view"));
}
