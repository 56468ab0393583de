// Sends a captured request once more, as a stream, and writes the answer beside the first one. The answer's text only ever becomes text.
import { GatewayError, endedSession, forgetSessionKey, keyWasRefused, sessionHasEnded, sessionKey } from "./stream.js";

const form = document.getElementById("replay");
const runs = document.getElementById("runs");
const mostRuns = 4;

// These lead elsewhere than to the model or offer that was chosen, or on from an answer that is not there.
const leftOut = ["models", "provider", "previous_response_id", "model_routing_config"];

// Where each protocol has the model, the wish for a stream, and the path.
function prepared(captured, target) {
  const body = Object.fromEntries(Object.entries(captured).filter(([name]) => !leftOut.includes(name)));
  const path = form.dataset.path;
  if (form.dataset.protocol === "gemini") {
    return { path: path.replace(/models\/.+$/, `models/${encodeURIComponent(target)}:streamGenerateContent?alt=sse`).replace(/publishers\/[^/]+\//, ""), body };
  }
  const sent = { ...body, model: target, stream: true };
  if (form.dataset.protocol === "openai.chat") sent.stream_options = { ...body.stream_options, include_usage: true };
  if (form.dataset.protocol === "openai.responses") sent.store = false;
  return { path, body: sent };
}

// What one event says: text, reasoning, usage, an error.
function told(event) {
  const out = { text: "", reasoning: "", usage: null, error: null };
  const choice = event.choices?.[0]?.delta;
  if (choice) {
    out.text = choice.content ?? choice.refusal ?? "";
    out.reasoning = choice.reasoning_content ?? choice.reasoning ?? "";
    for (const call of choice.tool_calls ?? []) out.text += (call.function?.name ? `\n${call.function.name} ` : "") + (call.function?.arguments ?? "");
  } else if (event.type === "content_block_delta") {
    out.text = event.delta.text ?? event.delta.partial_json ?? "";
    out.reasoning = event.delta.thinking ?? "";
  } else if (event.type === "content_block_start" && event.content_block?.name) {
    out.text = `\n${event.content_block.name} `;
  } else if (typeof event.delta === "string" && event.type?.startsWith("response.")) {
    if (event.type.includes("reasoning")) out.reasoning = event.delta;
    else out.text = event.delta;
  } else if (event.candidates) {
    for (const part of event.candidates[0]?.content?.parts ?? []) {
      if (part.thought) out.reasoning += part.text ?? "";
      else out.text += part.text ?? (part.functionCall ? `\n${part.functionCall.name} ${JSON.stringify(part.functionCall.args)}` : "");
    }
  }
  out.usage = event.usage ?? event.response?.usage ?? event.usageMetadata ?? event.message?.usage ?? null;
  out.error = event.error ?? (event.type === "response.failed" ? event.response?.error : null) ?? null;
  return out;
}

function outputTokens(usage) {
  return usage.completion_tokens ?? usage.output_tokens ?? (usage.candidatesTokenCount == null ? null : usage.candidatesTokenCount + (usage.thoughtsTokenCount ?? 0));
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function column(target) {
  const box = document.getElementById("run").content.firstElementChild.cloneNode(true);
  box.setAttribute("aria-label", target);
  box.querySelector("h2").textContent = target;
  while (runs.children.length >= mostRuns) runs.children[1].remove();
  runs.append(box);
  return box;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    waiting += done ? "\n" : value;
    const lines = waiting.split(/\r?\n/);
    waiting = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
    if (done) return;
  }
}

function figure(box, name, text) {
  box.querySelector(`[data-figure=${name}]`).textContent = text;
}

// The session gets another key at its next need.
function renewed(error) {
  forgetSessionKey();
  return `The key of this session was refused (${error.message}). Run it again: it then gets another.`;
}

async function run(target) {
  const box = column(target);
  const state = box.querySelector(".state");
  const stopping = new AbortController();
  box.querySelector(".stop").addEventListener("click", () => stopping.abort());
  const began = performance.now();
  let first = null, last = null, usage = null;
  try {
    const kept = await fetch(form.dataset.body, { redirect: "manual" });
    if (sessionHasEnded(kept)) throw endedSession();
    if (!kept.ok) throw new Error("The captured body is not kept any more.");
    const sent = prepared(JSON.parse(await kept.text()), target);
    const headers = { "content-type": "application/json", authorization: `Bearer ${await sessionKey()}` };
    if (form.dataset.protocol === "anthropic.messages") headers["anthropic-version"] = "2023-06-01";
    const start = performance.now();
    const response = await fetch(sent.path, { method: "POST", headers, body: JSON.stringify(sent.body), signal: stopping.signal });
    const id = response.headers.get("x-request-id");
    if (id) {
      const link = box.querySelector(".record");
      link.href = `/platform/logs/${encodeURIComponent(id)}`;
      link.hidden = false;
    }
    if (!response.ok) {
      const error = await response.json().catch(() => ({}));
      const said = error.error ?? error[0]?.error ?? {};
      throw new GatewayError(said.message ?? `Status ${response.status}`, { status: response.status, type: said.type });
    }
    state.textContent = `Answering · ${response.headers.get("x-trunkline-provider") ?? ""}`;
    for await (const event of events(response)) {
      const said = told(event);
      if (said.error) throw new Error(said.error.message ?? "The answer broke off.");
      if (said.usage) usage = { ...usage, ...said.usage };
      if (said.text || said.reasoning) {
        last = performance.now();
        if (first === null) figure(box, "first", seconds((first = last) - start));
      }
      if (said.text) box.querySelector(".answer").append(said.text);
      if (said.reasoning) {
        box.querySelector(".reasoning").hidden = false;
        box.querySelector(".reasoning .words").append(said.reasoning);
      }
    }
    figure(box, "total", seconds(performance.now() - start));
    const tokens = usage && outputTokens(usage);
    if (tokens && last > first) figure(box, "speed", `${((tokens / (last - first)) * 1000).toFixed(1)} tps`);
    if (usage?.cost != null) figure(box, "cost", `$${Number(usage.cost.toPrecision(3))}`);
    state.textContent = `Done · ${response.headers.get("x-trunkline-provider") ?? ""}`;
  } catch (error) {
    figure(box, "total", seconds(performance.now() - began));
    state.textContent = error.name === "AbortError" ? "Stopped" : keyWasRefused(error) ? renewed(error) : error.message;
    state.classList.toggle("alarm", error.name !== "AbortError");
  }
  box.querySelector(".stop").remove();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(form.elements.target.value.trim());
});
form.querySelector("button").disabled = false;
