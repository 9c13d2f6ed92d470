// What happened beside the evidence, for every chart: steps of traffic, people's commands, deploys, flags, configuration, notes.
const SIGNS = { deploy: "⬆", flag: "⚑", config: "⚙" };
const OWN = /^davy\b/, STEP = "shift";
const SHOWN = new Set([STEP, "apply", "promote", "rollback", "abort", "force promote", "force rollback", "pause", "resume", "approve", "hold", "circuit open", "circuit closed"]);

// [{ms, text, kind, by}], oldest first; each has a sign beside its colour.
export function marks(decisions, annotations) {
  const done = decisions.filter((d) => d.outcome === "DONE" && SHOWN.has(d.kind)).map((d) => {
    const isPerson = !OWN.test(d.actor) && d.kind !== STEP, what = d.kind === STEP ? `▲ step ${(d.step ?? 0) + 1}` : `${isPerson ? "☻" : d.kind === "rollback" ? "✖" : "●"} ${d.kind}`;
    return { ms: Date.parse(d.time), text: isPerson ? `${what} by ${d.actor}` : what, kind: isPerson ? "person" : d.kind === "rollback" ? "bad" : "mark", by: d.actor, why: d.reason };
  });
  const noted = annotations.map((a) => ({ ms: Date.parse(a.time), text: `${SIGNS[(a.body.tags ?? []).find((tag) => SIGNS[tag])] ?? "✎"} ${a.body.text}`, kind: "note", by: a.actor, why: (a.body.tags ?? []).join(", ") }));
  return [...done, ...noted].sort((a, b) => a.ms - b.ms);
}
