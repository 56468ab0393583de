// How one model's answer looks: reasoning folded, text as Markdown, calls of tools with room for their results, figures of each request.
"use strict";

import { Prose, element } from "./markdown.js";
import { duration, usd } from "./stream.js";

const FINISH_WORDS = {
  length: "Cut: the limit of tokens was reached.",
  content_filter: "The provider's filter ended it.",
};
const count = (value) => value.toLocaleString("en");

/** Lives as long as its node. `acts`: `last` (the newest turn), `stop`, `retry`, `goOn(results)`. */
export class AnswerView {
  constructor(answer, acts) {
    this.answer = answer;
    this.acts = acts;
    this.rounds = [];
    this.provider = element("span", { class: "quiet" });
    this.body = element("div", { class: "rounds" });
    this.copy = action("Copy", () => {});
    this.copy.addEventListener("click", () => { this.copy.dataset.copy = textOf(answer); });
    this.copy.dataset.copy = "";
    this.stop = action("Stop", acts.stop);
    this.retry = action("Retry", acts.retry);
    for (const [button, words] of [[this.copy, "Copy the answer of"], [this.stop, "Stop"], [this.retry, "Ask again:"]]) button.setAttribute("aria-label", `${words} ${answer.model}`);
    this.node = element("section", { class: "answer card", "aria-label": `Answer of ${answer.model}` }, element("header", { class: "answer-head" }, element("b", { class: "mono" }, answer.model), this.provider), this.body, element("div", { class: "row answer-actions" }, this.copy, this.retry, this.stop));
  }

  /** Brings the node up to date with the answer. */
  paint() {
    const { rounds } = this.answer;
    for (let at = 0; at < rounds.length; at += 1) this.paintRound(rounds[at], at);
    for (const gone of this.rounds.splice(rounds.length)) gone.node.remove();
    const last = rounds.at(-1);
    // Without a round it is about to be asked.
    const running = !last || last.state === "running";
    this.node.setAttribute("aria-busy", String(running));
    this.provider.textContent = last?.provider ? `at ${last.provider}` : "";
    this.copy.hidden = running || !textOf(this.answer);
    this.stop.hidden = !running;
    this.retry.hidden = running || !this.acts.last;
  }

  paintRound(round, at) {
    if (!this.rounds[at]) {
      this.rounds[at] = new RoundView(round, this.acts);
      this.body.append(this.rounds[at].node);
    }
    this.rounds[at].paint(at === this.answer.rounds.length - 1 && this.acts.last);
  }
}

/** One request and what came of it. */
class RoundView {
  constructor(round, acts) {
    this.round = round;
    this.acts = acts;
    this.summary = element("summary", {}, "Reasoning");
    this.thoughts = element("div", { class: "prose" });
    this.reasoning = element("details", { class: "reasoning" }, this.summary, this.thoughts);
    this.reasoning.addEventListener("toggle", () => this.paintReasoning());
    this.thoughtProse = new Prose(this.thoughts);
    this.waiting = element("p", { class: "waiting quiet" }, "Waiting for the first token");
    this.text = element("div", { class: "prose" });
    this.prose = new Prose(this.text);
    this.images = element("div", { class: "images" });
    this.calls = element("div", { class: "calls" });
    this.note = element("p", { class: "quiet small-print" });
    this.error = element("div", { class: "alarm" });
    this.figures = element("p", { class: "figures-line" });
    this.node = element("div", { class: "round" }, this.reasoning, this.waiting, this.text, this.images, this.calls, this.note, this.error, this.figures);
  }

  paint(last) {
    const { round } = this;
    const running = round.state === "running";
    this.reasoning.hidden = !round.reasoning;
    this.paintReasoning();
    this.waiting.hidden = !running || Boolean(round.text || round.reasoning || round.calls.length);
    this.prose.show(round.json ? asJson(round.text) : round.text);
    this.paintImages();
    this.paintCalls(running, last);
    this.note.textContent = noteOf(round);
    this.note.hidden = !this.note.textContent;
    this.paintError();
    this.figures.replaceChildren(...(running ? [] : figuresOf(round)));
  }

  paintReasoning() {
    const { round } = this;
    const thinking = round.state === "running" && !round.text && !round.calls.length;
    this.summary.textContent = thinking ? "Reasoning ..." : "Reasoning";
    // Closed, it costs nothing.
    if (this.reasoning.open) this.thoughtProse.show(round.reasoning);
  }

  paintImages() {
    for (const [at, url] of this.round.images.entries()) {
      if (!this.images.children[at] && url.startsWith("data:image/")) this.images.append(element("img", { src: url, alt: "Image of the answer" }));
    }
  }

  paintCalls(running, last) {
    const calls = this.round.calls.filter(Boolean);
    const open = !running && last && this.round.state === "done" && calls.length > 0 && calls.every((call) => call.result === undefined);
    const state = `${running} ${open} ${calls.map((call) => `${call.name}${call.arguments.length}${call.result !== undefined}`).join()}`;
    if (state === this.callState) return;
    this.callState = state;
    const nodes = calls.map((call, at) => callNode(call, at, open));
    if (!open) return this.calls.replaceChildren(...nodes);
    const form = element("form", {}, ...nodes, element("button", { type: "submit" }, calls.length === 1 ? "Send the result" : "Send the results"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.acts.goOn([...form.querySelectorAll("textarea")].map((field) => field.value));
    });
    return this.calls.replaceChildren(form);
  }

  paintError() {
    const { error } = this.round;
    this.error.hidden = !error;
    if (!error || this.error.childNodes.length) return;
    const kind = [error.status || null, error.type].filter(Boolean).join(" ");
    this.error.append(element("p", {}, error.message), ...(kind ? [element("p", { class: "small-print" }, kind)] : []));
    if (error.status === 403 && !this.round.id) this.error.append(element("p", {}, element("a", { href: "/sign-in?next=%2Fplatform%2Fchat" }, "Sign in")));
  }
}

function action(words, act) {
  const button = element("button", { type: "button", class: "plain small-button" }, words);
  button.addEventListener("click", act);
  return button;
}

function textOf(answer) {
  return answer.rounds.map((round) => round.text).filter(Boolean).join("\n\n");
}

function asJson(text) {
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* not whole yet */ }
  return text && `\`\`\`\`\`\`json\n${shown}\n\`\`\`\`\`\``;
}

function noteOf(round) {
  if (round.state === "stopped") return "Stopped.";
  if (round.state !== "done") return "";
  if (round.json && round.text && !isJson(round.text)) return "This is no JSON.";
  if (!round.text && !round.calls.length && !round.images.length) return FINISH_WORDS[round.finish] ?? "The answer has no text.";
  return FINISH_WORDS[round.finish] ?? "";
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function callNode(call, at, open) {
  let given = call.arguments;
  try {
    given = JSON.stringify(JSON.parse(given), null, 2);
  } catch { /* still coming, or as the model has it */ }
  const node = element("div", { class: "call" }, element("p", { class: "call-name" }, "Calls ", element("code", {}, call.name)), element("pre", { tabindex: "0" }, element("code", {}, given)));
  if (call.result !== undefined) node.append(element("p", { class: "call-name" }, "Result"), element("pre", { tabindex: "0" }, element("code", {}, call.result)));
  if (!open) return node;
  const id = `result-${call.id || at}-${Math.random().toString(36).slice(2)}`;
  node.append(element("label", { for: id }, `Result of ${call.name}`), element("textarea", { id, rows: "2", required: true }));
  return node;
}

function speed(tokensPerS) {
  return tokensPerS >= 100 ? count(Math.round(tokensPerS)) : Number(tokensPerS.toPrecision(3));
}

/** First token, speed, tokens, cost, and the way to the record. */
function figuresOf(round) {
  const found = [];
  const add = (words, title) => found.push(element("span", { title }, words));
  const { figures } = round;
  if (figures) {
    if (figures.firstMs !== null) add(`first token ${duration(figures.firstMs)}`, "From sent to the first piece of text, reasoning or a call, as seen here");
    if (figures.tokensPerS !== null) add(`${speed(figures.tokensPerS)} tokens/s`, "Output tokens between the first and the last piece");
    if (figures.input !== null) add(`${count(figures.input)} in`, figures.cached ? `${count(figures.cached)} of them from the cache` : "Tokens of the prompt");
    if (figures.output !== null) add(`${count(figures.output)} out`, figures.thought ? `${count(figures.thought)} of them reasoning` : "Tokens of the answer");
    if (figures.costUsd !== null) add(usd(figures.costUsd), `$${figures.costUsd}`);
  }
  if (round.id) found.push(element("a", { href: `/platform/logs/${encodeURIComponent(round.id)}`, title: `Request ${round.id}` }, "log"));
  return found;
}

/** A message that is written anew, in its old place. `acts`: `send(text)`, `leave`. */
export function editForm(id, text, later, acts) {
  const field = element("textarea", { id, rows: "3" });
  field.value = text;
  const cancel = element("button", { type: "button", class: "plain" }, "Cancel");
  const warning = later ? `${later} later turn${later === 1 ? "" : "s"} will go.` : "";
  const row = element("div", { class: "row" }, element("button", { type: "submit" }, "Send"), cancel, element("span", { class: "quiet small-print" }, warning));
  const form = element("form", { class: "editing" }, element("label", { for: id }, "Your message, anew"), field, row);
  cancel.addEventListener("click", acts.leave);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") acts.leave();
    if (!isSend(event)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    acts.send(field.value);
  });
  return form;
}

/** Enter alone; with Shift it makes a line, and while a word is being composed it ends the word. */
export function isSend(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}
