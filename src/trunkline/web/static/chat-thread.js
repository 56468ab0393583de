// Conversations as data: {id, title, updated, models, settings, turns: [{text, files, answers: [{model, rounds: [round]}]}]}. A round is one request: an answer has
// more than one where its model called tools.
"use strict";

import { NO_SETTINGS } from "./chat-request.js";
import { element } from "./markdown.js";

const TITLE_CHARS = 60;

export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** As it was left: a page that went while answers came has left them where they were. */
export function mended(thread) {
  thread.settings = { ...NO_SETTINGS, ...thread.settings };
  for (const round of thread.turns.flatMap((turn) => turn.answers).flatMap((answer) => answer.rounds)) {
    if (round.state === "running") round.state = "stopped";
  }
}

/** Without what holds for this page alone. */
export function plain(thread) {
  const { gone, ...kept } = thread;
  return kept;
}

export function titleOf(text, files) {
  const line = text.trim().split("\n")[0] || files[0]?.name || "Untitled";
  return line.length > TITLE_CHARS ? `${line.slice(0, TITLE_CHARS - 3).trimEnd()}...` : line;
}

/** When, in a word. */
export function ago(unixMs) {
  const minutes = Math.round((Date.now() - unixMs) / 60_000);
  const words = new Intl.RelativeTimeFormat("en", { style: "narrow", numeric: "auto" });
  if (minutes < 1) return "now";
  if (minutes < 60) return words.format(-minutes, "minute");
  if (minutes < 1440) return words.format(-Math.round(minutes / 60), "hour");
  return words.format(-Math.round(minutes / 1440), "day");
}

/** Hand conversations over as a file. */
export function download(name, threads) {
  const content = JSON.stringify({ format: "trunkline-chat-1", exported_at: new Date().toISOString(), conversations: threads }, null, 2);
  const link = element("a", { href: URL.createObjectURL(new Blob([content], { type: "application/json" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A request that has just begun; `json` where a schema was asked for. */
export function newRound(json) {
  return { state: "running", json, text: "", reasoning: "", details: [], calls: [], images: [], finish: "", model: "", provider: "", id: "", figures: null, error: null };
}

/** Dollars that all answers have cost; null where none is known. */
export function costOf(thread) {
  const rounds = thread.turns.flatMap((turn) => turn.answers).flatMap((answer) => answer.rounds);
  const costs = rounds.map((round) => round.figures?.costUsd).filter((cost) => cost != null);
  return costs.length ? costs.reduce((sum, cost) => sum + cost, 0) : null;
}
