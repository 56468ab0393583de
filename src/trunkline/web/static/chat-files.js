// Files that go along with a message: read in the browser, kept as data URLs (text as text), and only what every chosen model takes.
"use strict";

import { ACCEPT, TEXT_ACCEPT, kindOf, takesKind } from "./chat-request.js";
import { element } from "./markdown.js";

// What base64, JSON and the rest of the conversation leave of a body.
const SHARE = 0.7;
const $ = (id) => document.getElementById(id);

/** What is chosen for the next message. Lives as long as the page. */
export class Files {
  constructor(data, models, trouble) {
    this.data = data;
    this.models = models;
    this.trouble = trouble;
    this.chosen = [];
  }

  async add(files) {
    this.trouble("");
    for (const file of files) {
      const wrong = this.troubleOf(file);
      if (wrong) {
        this.trouble(wrong);
        continue;
      }
      const kind = kindOf(file);
      this.chosen.push({ name: file.name || "pasted", type: file.type, size: file.size, kind, data: kind === "text" ? await file.text() : await dataUrl(file) });
    }
    this.draw();
  }

  /** Those for a message that goes out now. */
  take() {
    const taken = this.chosen;
    this.chosen = [];
    this.draw();
    return taken;
  }

  /** For the models as they are chosen now. */
  fit() {
    const kinds = Object.keys(ACCEPT).filter((kind) => this.models().every((name) => takesKind(this.data, name, kind)));
    $("file").accept = [TEXT_ACCEPT, ...kinds.map((kind) => ACCEPT[kind])].join(",");
    $("attach").title = kinds.length ? `Text, ${kinds.map(wordOf).join(", ")}` : "Text alone: not all of these models take more";
    this.draw();
  }

  troubleOf(file) {
    const kind = kindOf(file);
    const most = this.data.max_body_bytes * SHARE;
    if (!kind) return `${file.name}: no model takes files of this type.`;
    const refused = refusal(this.data, this.models(), kind);
    if (refused) return `${refused}: ${file.name} was not added.`;
    const sum = this.chosen.reduce((bytes, one) => bytes + one.size, file.size);
    return sum > most ? `${file.name} is too much: one message can hold files of ${Math.floor(most / 2 ** 20)} MB here.` : "";
  }

  draw() {
    $("files").replaceChildren(...this.chosen.map((file) => this.chip(file)));
    $("files").hidden = this.chosen.length === 0;
  }

  chip(file) {
    const remove = element("button", { type: "button", class: "take", "aria-label": `Take ${file.name} away`, title: "Take away" }, "×");
    remove.addEventListener("click", () => {
      this.chosen = this.chosen.filter((one) => one !== file);
      this.draw();
      $("prompt").focus();
    });
    return element("li", {}, filePicture(file), element("span", {}, file.name), remove);
  }
}

/** Which of the models take no file of a kind, in words; empty where all do. */
export function refusal(data, models, kind) {
  const without = models.filter((name) => !takesKind(data, name, kind));
  return without.length ? `${without.join(", ")} take${without.length === 1 ? "s" : ""} no ${wordOf(kind)}` : "";
}

/** A small picture, or the kind as a word. */
export function filePicture(file) {
  if (file.kind === "image" && file.data.startsWith("data:image/")) return element("img", { src: file.data, alt: "" });
  return element("span", { class: "kind" }, wordOf(file.kind));
}

function wordOf(kind) {
  return kind === "file" ? "PDF" : kind;
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
