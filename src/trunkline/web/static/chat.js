// The studio: conversations with up to four models side by side. What is asked goes to the data plane with the session's key; what is said stays here.
//
// Threads (chat-thread.js) are data, views draw them; a stream changes its round and has the view painted with the next frame.
"use strict";

import { Files, filePicture, refusal } from "./chat-files.js";
import { NO_SETTINGS, bodyOf, readSchema, readTools, settingsTrouble, takesSetting } from "./chat-request.js";
import { openStore } from "./chat-store.js";
import { ago, costOf, download, mended, newRound, plain, randomId, titleOf } from "./chat-thread.js";
import { AnswerView, editForm, isSend } from "./chat-view.js";
import { element } from "./markdown.js";
import { GatewayError, addChunk, forgetSessionKey, keyWasRefused, measured, newAnswer, sessionKey, stream, usd } from "./stream.js";

const URL_ASKED = "/api/v1/chat/completions";
const MODELS_KEY = "trunkline-chat-models";
const SAVE_AFTER_MS = 3_000;
const TOOLS_EXAMPLE = [{ type: "function", function: { name: "get_weather", description: "The weather of a place now", parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"], additionalProperties: false } } }];
const SCHEMA_EXAMPLE = { type: "object", properties: { answer: { type: "string" }, confidence: { type: "number" } }, required: ["answer", "confidence"], additionalProperties: false };

const $ = (id) => document.getElementById(id);
async function begin(data) {
  const studio = new Studio(data, await openStore());
  $("studio").hidden = false;
  await studio.open(location.hash.slice(1));
  studio.wire();
}

/** Lives as long as the page. */
class Studio {
  constructor(data, store) {
    this.data = data;
    this.store = store;
    this.thread = null;
    this.files = new Files(data, () => this.thread.models, (text) => this.trouble(text));
    /** Round -> the stream that fills it. */
    this.running = new Map();
    /** Threads with a stream, so that coming back finds the same one. */
    this.live = new Map();
    this.views = new Map();
    this.awaiting = new Set();
    this.saving = new Map();
  }

  // --- threads

  async open(id) {
    const found = id ? (this.live.get(id) ?? (await this.store.read(id))) : undefined;
    if (found && !this.live.has(found.id)) mended(found);
    this.thread = found ?? this.fresh();
    if (!found || (this.data.chosen.length && !this.opened)) this.choose(this.data.chosen.length && !this.opened ? this.data.chosen : this.thread.models);
    this.opened = true;
    this.show();
  }

  fresh() {
    const before = this.thread;
    const models = before?.models ?? this.usual();
    return { id: randomId(), title: "", updated: Date.now(), models: [...models], settings: { ...NO_SETTINGS, ...before?.settings }, turns: [] };
  }

  usual() {
    const slugs = this.data.models.map((model) => model.slug);
    const kept = remembered().filter((name) => slugs.includes(name.replace(/:[^:/]*$/, "")) || slugs.includes(name));
    return kept.length ? kept.slice(0, this.data.most) : slugs.filter((slug) => this.data.models.length < 2 || !slug.endsWith("/auto")).slice(0, 1);
  }

  show() {
    history.replaceState(null, "", this.thread.turns.length ? `#${this.thread.id}` : location.pathname + location.search);
    for (const control of document.querySelectorAll("[data-setting]")) control.value = this.thread.settings[control.dataset.setting] ?? "";
    this.drawTalk();
    this.fit();
    this.drawHead();
    this.drawList();
  }

  async drawList() {
    const heads = await this.store.list();
    const focused = document.activeElement?.closest("button.thread")?.dataset.id;
    $("thread-list").replaceChildren(...heads.map((head) => this.threadItem(head)));
    if (focused) $("thread-list").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
    $("all-actions").hidden = heads.length === 0;
    $("kept-where").textContent = this.store.lasting ? "Kept in this browser alone: the newest 200." : "This browser keeps nothing: conversations end with the page.";
  }

  threadItem(head) {
    const current = head.id === this.thread.id;
    const button = element("button", { type: "button", class: "thread", "data-id": head.id, "aria-current": current ? "true" : null, title: head.title }, element("span", {}, head.title), element("time", { datetime: new Date(head.updated).toISOString() }, ago(head.updated)));
    button.addEventListener("click", () => this.open(head.id).then(() => $("prompt").focus()));
    return element("li", {}, button);
  }

  drawHead() {
    const { thread } = this;
    const cost = costOf(thread);
    $("thread-title").textContent = thread.title;
    $("thread-cost").textContent = cost === null ? "" : `${usd(cost)} so far`;
    $("thread-actions").hidden = thread.turns.length === 0;
    const busy = this.busy();
    $("send").hidden = busy;
    $("stop-all").hidden = !busy;
  }

  save(thread = this.thread) {
    if (!thread.turns.length) return;
    thread.updated = Date.now();
    clearTimeout(this.saving.get(thread));
    this.saving.delete(thread);
    this.store.write(plain(thread)).then(() => this.drawList()).catch(() => this.trouble("This browser has no room for the conversation: export it, or delete others."));
  }

  saveSoon(thread) {
    if (this.saving.has(thread)) return;
    this.saving.set(thread, setTimeout(() => this.save(thread), SAVE_AFTER_MS));
  }

  rename(on) {
    $("rename").hidden = !on;
    $("thread-title").hidden = on;
    $("thread-actions").hidden = on;
    if (!on) return $("prompt").focus();
    $("rename-to").value = this.thread.title;
    return $("rename-to").focus();
  }

  async delete() {
    if (!confirm(`Delete "${this.thread.title}"? It is kept nowhere else.`)) return;
    this.stop();
    this.forget(this.thread);
    await this.store.remove(this.thread.id);
    await this.open("");
    $("prompt").focus();
  }

  async deleteAll() {
    if (!confirm("Delete all conversations? They are kept nowhere else.")) return;
    for (const thread of [...this.live.values(), this.thread]) this.forget(thread);
    for (const asked of this.running.values()) asked.abort();
    await this.store.clear();
    await this.open("");
    $("prompt").focus();
  }

  forget(thread) {
    thread.gone = true;
    clearTimeout(this.saving.get(thread));
    this.live.delete(thread.id);
  }

  async exportAll() {
    const heads = await this.store.list();
    download("trunkline-chats.json", await Promise.all(heads.map((head) => this.store.read(head.id))));
  }

  // --- models and what they take

  choose(names) {
    this.thread.models = names;
    try { localStorage.setItem(MODELS_KEY, JSON.stringify(names)); } catch { /* a browser that keeps nothing */ }
  }

  add(typed) {
    const name = this.named(typed.trim());
    if (!name) return;
    const { models } = this.thread;
    if (models.includes(name)) return this.modelTrouble(`${name} is asked already.`);
    if (models.length >= this.data.most) return this.modelTrouble("At most four models answer side by side: take one away first.");
    $("add-model").value = "";
    this.modelTrouble("");
    this.changeModels([...models, name]);
  }

  named(typed) {
    if (!typed) return "";
    const slugs = this.data.models.map((model) => model.slug);
    if (slugs.includes(typed) || typed.includes(":")) return typed;
    const like = this.data.models.filter((model) => `${model.slug} ${model.name}`.toLowerCase().includes(typed.toLowerCase())).map((model) => model.slug);
    if (like.length < 2) return like[0] ?? typed;
    this.modelTrouble(`Several models have ${typed} in their name: ${like.slice(0, 4).join(", ")}${like.length > 4 ? " ..." : ""}`);
    return "";
  }

  take(name) {
    this.modelTrouble("");
    this.changeModels(this.thread.models.filter((one) => one !== name));
    $("add-model").focus();
  }

  changeModels(names) {
    this.choose(names);
    this.fit();
    $("talk").lastElementChild.querySelector(".missing")?.replaceWith(this.missingNode(this.thread.turns.at(-1)));
  }

  /** Everything that depends on the chosen models. */
  fit() {
    const { models } = this.thread;
    $("chosen").replaceChildren(...models.map((name) => this.modelChip(name)));
    for (const field of document.querySelectorAll("[data-limited]")) this.fitField(field);
    this.files.fit();
    this.check();
  }

  modelChip(name) {
    const remove = element("button", { type: "button", class: "take", "aria-label": `Do not ask ${name}`, title: "Take away" }, "×");
    remove.addEventListener("click", () => this.take(name));
    return element("li", { title: this.data.models.find((model) => model.slug === name)?.name ?? name }, element("span", {}, name), remove);
  }

  fitField(field) {
    const { models } = this.thread;
    const control = field.querySelector(":scope > [data-setting]");
    const takers = models.filter((name) => takesSetting(this.data, name, control.dataset.setting));
    control.disabled = models.length > 0 && takers.length === 0;
    const others = models.filter((name) => !takers.includes(name));
    const hint = field.querySelector(":scope > .hint");
    hint.textContent = !others.length ? "" : takers.length ? `Not taken by ${others.join(", ")}: left out there.` : models.length > 1 ? "None of these models takes it." : "This model does not take it.";
  }

  check() {
    const { settings } = this.thread;
    verdict($("tools-said"), settings.tools, readTools, (tools) => `${tools.length} tool${tools.length === 1 ? "" : "s"}: ${tools.map((tool) => tool.function?.name ?? tool.type).join(", ")}`);
    verdict($("schema-said"), settings.schema, readSchema, (schema) => `A schema named ${schema.name}.`);
    for (const name of ["tools", "schema"]) $(name).setAttribute("aria-invalid", String($(`${name}-said`).classList.contains("bad")));
    const said = Object.entries(settings).filter(([, value]) => value.trim());
    const words = { system: "system prompt", max_tokens: "most tokens", effort: "reasoning effort", top_p: "top p", tool_choice: "choice of tools" };
    const longs = ["system", "tools", "schema", "stop"];
    $("settings-said").textContent = said.map(([name, value]) => (longs.includes(name) ? (words[name] ?? name) : `${words[name] ?? name} ${value}`)).join(" · ");
  }

  // --- asking

  send() {
    const text = $("prompt").value;
    if (this.busy()) return;
    if (!text.trim() && !this.files.chosen.length) return this.trouble("Write something first.");
    const wrong = this.sendTrouble(this.files.chosen);
    if (wrong) return this.trouble(wrong);
    this.trouble("");
    const { thread } = this;
    thread.title ||= titleOf(text, this.files.chosen);
    thread.turns.push({ text, files: this.files.take(), answers: [] });
    $("prompt").value = "";
    grow($("prompt"));
    if (thread.turns.length > 1) this.drawTurn(thread.turns.length - 2);
    this.askAll();
  }

  sendTrouble(files) {
    const { models } = this.thread;
    if (!models.length) return "Choose a model first.";
    for (const file of files) {
      const refused = refusal(this.data, models, file.kind);
      if (refused) return `${refused}: take ${file.name} or the model away.`;
    }
    return settingsTrouble(this.thread.settings);
  }

  askAll() {
    const at = this.thread.turns.length - 1;
    for (const name of this.thread.models) this.thread.turns[at].answers.push({ model: name, rounds: [] });
    this.drawTurn(at);
    for (const answer of this.thread.turns[at].answers) this.ask(at, answer);
    toEnd();
    history.replaceState(null, "", `#${this.thread.id}`);
    this.save();
  }

  askToo(name) {
    const wrong = this.sendTrouble(this.thread.turns.at(-1).files);
    if (wrong) return this.trouble(wrong);
    const at = this.thread.turns.length - 1;
    const answer = { model: name, rounds: [] };
    this.thread.turns[at].answers.push(answer);
    this.drawTurn(at);
    this.ask(at, answer);
  }

  retry(at, answer) {
    const wrong = this.sendTrouble([]);
    if (wrong) return this.trouble(wrong);
    answer.rounds = [];
    this.drawTurn(at);
    this.ask(at, answer);
  }

  /** One request: the next round of an answer. */
  async ask(at, answer) {
    const { thread } = this;
    const before = answer.rounds.length ? { model: answer.model, rounds: [...answer.rounds] } : null;
    const body = bodyOf(this.data, thread, at, answer.model, before);
    const round = newRound(Boolean(body.response_format));
    answer.rounds.push(round);
    this.live.set(thread.id, thread);
    this.running.set(round, { thread, abort: () => { round.state = "stopped"; } });
    this.paint(answer);
    this.drawHead();
    try {
      await this.follow(thread, answer, round, body);
      if (round.state === "running") round.state = "done";
    } catch (error) {
      failed(round, error);
    }
    this.ended(thread, answer, round);
  }

  async follow(thread, answer, round, body, again = true) {
    const key = await sessionKey();
    if (round.state === "stopped") return;
    const live = newAnswer();
    let sentMs = 0;
    const asked = stream(URL_ASKED, key, body, (chunk, nowMs) => {
      addChunk(live, chunk, nowMs);
      const { text, reasoning, details, calls, images, finish, model } = live;
      Object.assign(round, { text, reasoning, details, calls, images, finish, model });
      round.figures = measured(live, sentMs);
      this.paint(answer);
      this.saveSoon(thread);
    }, {
      headers: { "x-title": "Trunkline chat", "x-session-id": thread.id },
      onHead: (head) => {
        sentMs = head.sentMs;
        Object.assign(round, { id: head.id, provider: head.headers.get("x-trunkline-provider") ?? "" });
      },
    });
    this.running.set(round, { thread, abort: () => { round.state = "stopped"; asked.abort(); } });
    try {
      await asked.done;
    } catch (error) {
      // The key was revoked meanwhile: the session gets another.
      if (!again || !keyWasRefused(error)) throw error;
      forgetSessionKey();
      await this.follow(thread, answer, round, body, false);
    }
  }

  ended(thread, answer, round) {
    this.running.delete(round);
    if (![...this.running.values()].some((one) => one.thread === thread)) this.live.delete(thread.id);
    if (thread.gone) return;
    this.save(thread);
    if (thread !== this.thread) return;
    this.paint(answer);
    this.drawHead();
    say(endWords(answer.model, round));
  }

  busy() {
    return [...this.running.values()].some((one) => one.thread === this.thread);
  }

  stop(answer = null) {
    for (const [round, one] of this.running) {
      if (one.thread === this.thread && (!answer || answer.rounds.includes(round))) one.abort();
    }
  }

  // --- drawing

  drawTalk() {
    this.views.clear();
    $("talk").replaceChildren(...this.thread.turns.map((_, at) => this.turnNode(at)));
    if (!this.thread.turns.length) $("talk").append(element("p", { class: "quiet hello" }, "Ask one model, or up to four side by side on the same words. Conversations stay in this browser; the gateway keeps of a request what it keeps of any."));
    for (const view of this.views.values()) view.paint();
    if (this.thread.turns.length) toEnd();
  }

  drawTurn(at) {
    const talk = $("talk");
    const node = this.turnNode(at);
    if (talk.querySelector(".hello")) talk.replaceChildren(node);
    else if (talk.children[at]) talk.children[at].replaceWith(node);
    else talk.append(node);
    for (const answer of this.thread.turns[at].answers) this.views.get(answer).paint();
  }

  turnNode(at) {
    const turn = this.thread.turns[at];
    const last = at === this.thread.turns.length - 1;
    const answers = element("div", { class: "answers", "data-columns": turn.answers.length });
    for (const answer of turn.answers) {
      const view = new AnswerView(answer, {
        last,
        stop: () => this.stop(answer),
        retry: () => this.retry(at, answer),
        goOn: (results) => this.goOn(at, answer, results),
      });
      this.views.set(answer, view);
      answers.append(view.node);
    }
    return element("article", { class: "turn", "aria-label": `Turn ${at + 1}` }, this.askedNode(at), answers, ...(last ? [this.missingNode(turn)] : []));
  }

  askedNode(at) {
    const turn = this.thread.turns[at];
    const edit = element("button", { type: "button", class: "plain small-button" }, "Edit");
    edit.addEventListener("click", () => this.edit(at));
    const files = element("ul", { class: "files" }, ...turn.files.map((file) => element("li", {}, filePicture(file), element("span", {}, file.name))));
    return element("div", { class: "asked" }, ...(turn.files.length ? [files] : []), element("p", { class: "asked-text" }, turn.text), element("div", { class: "row" }, edit));
  }

  /** Models that were chosen after the turn was asked. */
  missingNode(turn) {
    const missing = this.thread.models.filter((name) => !turn.answers.some((answer) => answer.model === name));
    return element("p", { class: "missing row" }, ...missing.map((name) => {
      const button = element("button", { type: "button", class: "plain small-button" }, `Ask ${name} this too`);
      button.addEventListener("click", () => this.askToo(name));
      return button;
    }));
  }

  edit(at) {
    const asked = $("talk").children[at].querySelector(".asked");
    const form = editForm(`edit-${at}`, this.thread.turns[at].text, this.thread.turns.length - at - 1, {
      send: (text) => this.sendAnew(at, text),
      leave: () => {
        this.drawTurn(at);
        $("talk").children[at].querySelector(".asked button").focus();
      },
    });
    asked.replaceChildren(form);
    form.querySelector("textarea").focus();
  }

  sendAnew(at, text) {
    const { thread } = this;
    const { files } = thread.turns[at];
    const wrong = text.trim() || files.length ? this.sendTrouble(files) : "Write something first.";
    if (wrong) return this.trouble(wrong);
    this.stop();
    this.trouble("");
    thread.turns.length = at;
    thread.turns.push({ text, files, answers: [] });
    this.drawTalk();
    this.askAll();
    $("prompt").focus();
  }

  goOn(at, answer, results) {
    answer.rounds.at(-1).calls.forEach((call, number) => { call.result = results[number]; });
    this.ask(at, answer);
    $("prompt").focus();
  }

  /** With the next frame; once, however much comes until then. */
  paint(answer) {
    const view = this.views.get(answer);
    if (!view || this.awaiting.has(view)) return;
    this.awaiting.add(view);
    requestAnimationFrame(() => {
      this.awaiting.delete(view);
      const follows = atEnd();
      view.paint();
      if (follows) toEnd();
    });
  }

  trouble(text) {
    $("trouble").textContent = text;
    $("trouble").hidden = !text;
  }

  modelTrouble(text) {
    $("model-trouble").textContent = text;
    $("model-trouble").hidden = !text;
  }

  // --- wiring

  wire() {
    const acts = {
      new: () => this.open("").then(() => $("prompt").focus()),
      rename: () => this.rename(true),
      "keep-name": () => this.rename(false),
      export: () => download(`${this.thread.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "chat"}.json`, [plain(this.thread)]),
      delete: () => this.delete(),
      "export-all": () => this.exportAll(),
      "delete-all": () => this.deleteAll(),
      add: () => this.add($("add-model").value),
      attach: () => $("file").click(),
      stop: () => this.stop(),
      "tools-example": () => this.fill("tools", TOOLS_EXAMPLE),
      "schema-example": () => this.fill("schema", SCHEMA_EXAMPLE),
    };
    $("studio").addEventListener("click", (event) => acts[event.target.closest("[data-do]")?.dataset.do]?.());
    $("studio").addEventListener("input", (event) => this.onInput(event));
    $("composer").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    $("rename").addEventListener("submit", (event) => { event.preventDefault(); this.renamed(); });
    $("prompt").addEventListener("keydown", (event) => { if (isSend(event)) { event.preventDefault(); this.send(); } });
    $("add-model").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.add(event.target.value); } });
    $("file").addEventListener("change", (event) => { this.files.add([...event.target.files]); event.target.value = ""; });
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.wireDropping();
    addEventListener("pagehide", () => { for (const thread of [...this.saving.keys()]) this.save(thread); });
    addEventListener("hashchange", () => { if (location.hash.slice(1) !== this.thread.id) this.open(location.hash.slice(1)); });
    const narrow = matchMedia("(max-width: 60rem)");
    const fold = () => { $("threads").open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
    if (!narrow.matches) $("prompt").focus();
  }

  wireDropping() {
    const composer = $("composer");
    $("prompt").addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.length) return;
      event.preventDefault();
      this.files.add(files);
    });
    composer.addEventListener("dragover", (event) => event.preventDefault());
    composer.addEventListener("drop", (event) => {
      event.preventDefault();
      this.files.add([...event.dataTransfer.files]);
    });
  }

  onInput(event) {
    const { target } = event;
    if (target.id === "prompt") grow(target);
    // A choice from the list comes as an input of its own kind, or of none.
    if (target.id === "add-model" && (event.inputType ?? "insertReplacementText") === "insertReplacementText" && this.data.models.some((model) => model.slug === target.value)) this.add(target.value);
    if (target.dataset.setting) {
      this.thread.settings[target.dataset.setting] = target.value;
      this.check();
      if (this.thread.turns.length) this.saveSoon(this.thread);
    }
  }

  onKey(event) {
    if (event.key !== "Escape") return;
    if (!$("rename").hidden) this.rename(false);
    else if (this.busy()) this.stop();
  }

  renamed() {
    this.thread.title = $("rename-to").value.trim() || this.thread.title;
    this.rename(false);
    this.drawHead();
    this.save();
  }

  fill(name, value) {
    $(name).value = JSON.stringify(value, null, 2);
    $(name).dispatchEvent(new Event("input", { bubbles: true }));
    $(name).focus();
  }
}

// --- pieces

function remembered() {
  try {
    const kept = JSON.parse(localStorage.getItem(MODELS_KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

function failed(round, error) {
  if (round.state === "stopped") return;
  round.state = "failed";
  const known = error instanceof GatewayError;
  round.error = { message: known ? error.message : `This page could not go on: ${error.message}`, type: known ? error.type : "", status: known ? error.status : 0 };
  if (known && error.id) round.id = error.id;
  if (!known) console.error(error);
}

function endWords(name, round) {
  if (round.state === "failed") return `${name} has failed: ${round.error.message}`;
  return round.state === "stopped" ? `${name} was stopped.` : `${name} has answered.`;
}

function say(text) {
  const place = document.getElementById("said");
  place.textContent = place.textContent === text ? `${text} ` : text;
}

function verdict(place, text, read, words) {
  const found = text.trim() ? read(text) : {};
  place.textContent = found.trouble ?? (found.value ? words(found.value) : "");
  place.classList.toggle("bad", Boolean(found.trouble));
}

function grow(field) {
  field.rows = Math.min(10, Math.max(2, field.value.split("\n").length));
}

function atEnd() {
  return document.documentElement.scrollHeight - innerHeight - scrollY < 160;
}

function toEnd() {
  scrollTo(0, document.documentElement.scrollHeight);
}

const source = $("chat-data");
if (source) begin(JSON.parse(source.textContent));
