// The box of a model's page that asks the model: streams its answer, and shows how soon it began, how quick it was and what it cost.
"use strict";

import { GatewayError, addChunk, duration, forgetSessionKey, keyWasRefused, measured, newAnswer, sessionKey, stream, usd } from "./stream.js";

const PATH = "/api/v1/chat/completions";
const KEPT_KEY = "trunkline-try-key";
const TICK_MS = 100;

const box = document.getElementById("try-box");
if (box) begin();

function part(name) {
  return document.getElementById(`try-${name}`);
}

function begin() {
  const signedIn = "signedIn" in box.dataset;
  let asked = null;
  part("send").disabled = false;
  if (!signedIn) recallKey();
  box.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asked) return;
    asked = "preparing";
    try {
      const key = signedIn ? await sessionKey() : typedKey();
      asked = start(key);
      part("stop").hidden = false;
      await asked.done;
    } catch (error) {
      failed(error, signedIn);
    } finally {
      asked = null;
      part("stop").hidden = true;
      part("send").disabled = false;
    }
  });
  part("stop").addEventListener("click", () => asked?.abort?.());
}

// --- the key of a reader who has not signed in: kept only if asked for, and only in this tab

function recallKey() {
  try {
    const kept = sessionStorage.getItem(KEPT_KEY);
    if (!kept) return;
    part("key").value = kept;
    part("keep").checked = true;
  } catch { /* a browser that keeps nothing */ }
}

function typedKey() {
  const key = part("key").value.trim();
  if (!key) {
    part("key").focus();
    throw new GatewayError("Type an API key first. `trunkline keys create --name me` makes one.");
  }
  try {
    if (part("keep").checked) sessionStorage.setItem(KEPT_KEY, key);
    else sessionStorage.removeItem(KEPT_KEY);
  } catch { /* as above */ }
  return key;
}

// --- one call

function start(key) {
  const answer = newAnswer();
  const beganMs = performance.now();
  clear();
  const ticking = setInterval(() => tick(answer, performance.now() - beganMs), TICK_MS);
  const body = {
    model: part("offer")?.value ?? box.dataset.model,
    messages: [{ role: "user", content: part("prompt").value }],
    stream: true,
    stream_options: { include_usage: true },
  };
  const call = stream(PATH, key, body, (chunk, atMs) => {
    addChunk(answer, chunk, atMs);
    show(answer);
  });
  const done = call.done
    .then((end) => finished(answer, end))
    .finally(() => clearInterval(ticking));
  return { abort: call.abort, done };
}

function clear() {
  part("send").disabled = true;
  part("error").hidden = true;
  part("answer").hidden = false;
  part("answer").setAttribute("aria-busy", "true");
  part("thoughts").hidden = true;
  for (const name of ["text", "reasoning", "id"]) part(name).textContent = "";
  for (const name of ["first", "speed", "input", "output", "cost"]) part(name).textContent = "-";
}

function tick(answer, waitedMs) {
  part("state").textContent = answer.firstMs === null ? `Waiting for the first token: ${(waitedMs / 1000).toFixed(1)} s` : "Answering";
}

function show(answer) {
  part("text").textContent = answer.text;
  if (!answer.reasoning) return;
  part("thoughts").hidden = false;
  part("reasoning").textContent = answer.reasoning;
}

function finished(answer, { id, sentMs, endedMs }) {
  const found = measured(answer, sentMs);
  part("answer").removeAttribute("aria-busy");
  part("first").textContent = duration(found.firstMs);
  part("speed").textContent = found.tokensPerS === null ? "-" : `${Number(found.tokensPerS.toPrecision(3))} tokens/s`;
  part("input").textContent = counted(found.input);
  part("output").textContent = counted(found.output);
  part("cost").textContent = usd(found.costUsd);
  part("state").textContent = `Answered in ${duration(endedMs - sentMs)}.`;
  tellId(id);
  say("The answer is complete");
}

function counted(tokens) {
  return tokens === null ? "-" : tokens.toLocaleString("en-US");
}

function tellId(id) {
  if (!id) return;
  const place = part("id");
  place.textContent = "Request ";
  const told = document.createElement("signedIn" in box.dataset ? "a" : "code");
  told.textContent = id;
  if (told.localName === "a") told.href = `/platform/logs/${encodeURIComponent(id)}`;
  place.append(told);
}

function failed(error, signedIn) {
  part("answer").removeAttribute("aria-busy");
  if (error.name === "AbortError") {
    part("state").textContent = "Stopped.";
    return;
  }
  if (signedIn && keyWasRefused(error)) forgetSessionKey();
  part("state").textContent = "";
  part("error").textContent = error instanceof GatewayError ? error.message : `This page broke: ${error.message}`;
  part("error").hidden = false;
  if (!part("text").textContent) part("answer").hidden = true;
  tellId(error.id ?? "");
}

function say(words) {
  const place = document.getElementById("said");
  if (place) place.textContent = words;
}
