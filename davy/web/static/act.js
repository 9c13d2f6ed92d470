// Stepping in: what will happen is shown first, a reason is asked for, and who comes second is told who was first.
import { card, el } from "./dom.js";
import { percent } from "./format.js";

const COMMANDS = ["pause", "resume", "approve", "promote", "abort", "rollback"];
const LABEL = { rollback: "roll back" };
const DANGER = ["promote", "abort", "rollback"];
const SAID_MS = 30e3;
let last = { id: null, at: 0, text: "" }; // what was said to the person, however often the card is drawn anew

function shares(experiment) {
  const held = Object.entries(experiment.weights).filter(([, share]) => share > 0).map(([name, share]) => `${name} ${percent(share)}`);
  return held.length ? held.join(", ") : "no weights applied yet";
}

// In plain words, from what is known now.
export function preview(command, experiment) {
  const candidates = Object.keys(experiment.variants).filter((name) => name !== experiment.control);
  const now = `Traffic now: ${shares(experiment)}.`;
  const back = `${experiment.control} (${experiment.variants[experiment.control]}) gets 100 %, ${candidates.join(" and ")} 0 %.`;
  const what = {
    pause: "Weights stay as they are and no step follows until somebody resumes. A verdict of harm still rolls back.",
    resume: "A paused or held rollout goes on from its step; the next verdict decides what follows.",
    approve: "A step that waits for a person begins. Where none waits, this is refused and the ledger says so.",
    promote: `${candidates.map((name) => `${name} (${experiment.variants[name]})`).join(" or ")} gets 100 % without waiting for evidence, and the rollout ends.`,
    abort: `The rollout ends: ${back}`,
    rollback: `At once: ${back} The rollout ends; it is not tried again by itself.`,
  }[command];
  return [now, what];
}

export function act(experiment, records) {
  const output = el("output", { "data-focus": "said" }, last.id === experiment.id && Date.now() - last.at < SAID_MS ? last.text : "");
  const buttons = COMMANDS.map((command) => el("button", {
    type: "button", class: DANGER.includes(command) ? "danger" : "", "data-focus": `do ${command}`,
    onclick: () => ask(command, experiment, records, output),
  }, `${LABEL[command] ?? command} …`));
  return card("Step in", { class: "stepin" }, el("div", { class: "buttons" }, ...buttons), output,
    experiment.command ? el("p", { class: "small" }, "last asked: ", el("b", {}, experiment.command.command), " by ", el("bdi", {}, experiment.command.actor), ` at ${experiment.command.time.slice(11, 19)} UTC, because `, el("bdi", {}, experiment.command.reason.slice(0, 200))) : null);
}

function ask(command, experiment, records, output) {
  const seen = experiment.command?.command_id ?? "";
  const field = (name, label, attributes) => el("label", {}, label, el("input", { name, required: true, ...attributes }));
  const fault = el("p", { class: "fault", role: "alert" });
  const token = field("token", "Token of this console", { type: "password", autocomplete: "current-password" });
  token.hidden = true; token.querySelector("input").required = false;
  const candidates = Object.keys(experiment.variants).filter((name) => name !== experiment.control);
  const which = candidates.length > 1 && command === "promote" ? el("label", {}, "Which one", el("select", { name: "variant" }, ...candidates.map((name) => el("option", { value: name }, name)))) : null;
  const send = el("button", { class: DANGER.includes(command) ? "danger" : "", value: "send" }, `${LABEL[command] ?? command} now`);
  const form = el("form", { method: "dialog" }, el("h2", { id: "act-title" }, `${LABEL[command] ?? command}: `, el("bdi", {}, experiment.id)),
    ...preview(command, experiment).map((text) => el("p", { class: "preview" }, text)), which,
    field("reason", "Reason (goes into the ledger)", { maxlength: 1000, autocomplete: "off" }),
    field("actor", "Your name", { maxlength: 100, autocomplete: "name", value: localStorage.getItem("davy-name") ?? "" }),
    token, fault, el("div", { class: "buttons" }, send, el("button", { type: "button", onclick: () => dialog.close() }, "cancel")));
  const dialog = el("dialog", { "aria-labelledby": "act-title" }, form);
  dialog.addEventListener("close", () => { dialog.remove(); document.querySelector(`[data-focus="do ${command}"]`)?.focus(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = new FormData(form), key = given.get("token") || sessionStorage.getItem("davy-token");
    localStorage.setItem("davy-name", given.get("actor"));
    send.disabled = true;
    try {
      const response = await fetch(`/v1/experiments/${encodeURIComponent(experiment.id)}/commands`, {
        method: "POST", headers: { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) },
        body: JSON.stringify({ command, reason: given.get("reason"), actor: given.get("actor"), after: seen, ...(which ? { variant: given.get("variant") } : {}) }),
      });
      const answer = await response.json();
      if (response.ok) {
        if (given.get("token")) sessionStorage.setItem("davy-token", given.get("token"));
        dialog.close();
        last = { id: experiment.id, at: Date.now(), text: `${LABEL[command] ?? command} sent; the ledger shows what comes of it.` };
        (document.querySelector(".stepin output") ?? output).textContent = last.text;
        dispatchEvent(new Event("acted"));
      } else {
        fault.textContent = answer.error;
        if (response.status === 401) { sessionStorage.removeItem("davy-token"); token.hidden = false; token.querySelector("input").required = true; token.querySelector("input").focus(); }
        if (response.status === 409) dispatchEvent(new Event("acted"));
      }
    } catch {
      fault.textContent = "The console does not answer: nothing is known to be sent. Try again when the page says live, or use the command line.";
    }
    send.disabled = false;
  });
  document.body.append(dialog);
  dialog.showModal();
  form.elements.reason.focus();
}
