// Asking the gateway from a page: the session's key, an answer as a stream of server-sent events, and what a stream of Chat Completions adds up to.
//
//   const asked = stream("/api/v1/chat/completions", await sessionKey(), body, (data, atMs) => ..., { headers, onHead });
//   asked.abort();            // the reader stops it
//   await asked.done;         // {id, headers, sentMs, endedMs}, or throws: GatewayError, or AbortError once it was stopped
"use strict";

const KEY_PATH = "/platform/session-key";
const KEY_SPARE_MS = 60_000;
// As the data of a stream's last event: https://platform.openai.com/docs/api-reference/chat/streaming
const END = "[DONE]";
// What comes within so little came in one piece: its speed is the browser's, not the model's.
const LEAST_SPAN_S = 0.02;

/** What the gateway or the way to it said, in words. `id` is the request's, where there is one. */
export class GatewayError extends Error {
  constructor(message, { status = 0, type = "", id = "" } = {}) {
    super(message);
    this.name = "GatewayError";
    this.status = status;
    this.type = type;
    this.id = id;
  }
}

// --- the key

let sessionKeyAsked = null;

/** The session's own API key, made at the first need; for readers who have signed in. */
export async function sessionKey() {
  const known = await sessionKeyAsked?.catch(() => null);
  if (known && known.expires_ms - Date.now() > KEY_SPARE_MS) return known.key;
  sessionKeyAsked = askForKey();
  return (await sessionKeyAsked).key;
}

/** Forget the key, because it was refused: the next call asks anew. */
export function forgetSessionKey() {
  sessionKeyAsked = null;
}

/** Whether a request failed by its key: of a session it was revoked, or the store was put back, and another can be had. */
export function keyWasRefused(error) {
  return error instanceof GatewayError && (error.status === 401 || error.type === "access_denied");
}

async function askForKey() {
  const response = await reach(KEY_PATH, { method: "POST", headers: { "x-csrf-token": csrf(), accept: "application/json" }, redirect: "manual" });
  if (sessionHasEnded(response)) throw endedSession();
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** Whether a page's own address answered a fetch with `redirect: "manual"` by leading to signing in. */
export function sessionHasEnded(response) {
  return response.type === "opaqueredirect" || response.status === 403;
}

/** What to throw then. */
export function endedSession() {
  return new GatewayError("Your session has ended. Sign in again, then repeat.", { status: 403 });
}

function csrf() {
  const headers = document.body.getAttribute("hx-headers");
  return headers ? JSON.parse(headers)["x-csrf-token"] : "";
}

// --- one request

/**
 * POST `body` as JSON; `onEvent(data, atMs)` for each event, parsed, by the clock of performance.now(). An event of an error ends it.
 * `onHead({id, headers, sentMs})` once the answer begins: what a stopped one needs too.
 */
export function stream(url, key, body, onEvent, { headers = {}, onHead = () => {} } = {}) {
  const leaving = new AbortController();
  return { done: follow(url, key, body, onEvent, headers, onHead, leaving.signal), abort: () => leaving.abort() };
}

async function follow(url, key, body, onEvent, headers, onHead, signal) {
  const sent = { "content-type": "application/json", accept: "text/event-stream", ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers };
  const sentMs = performance.now();
  const response = await reach(url, { method: "POST", headers: sent, body: JSON.stringify(body), signal, credentials: "omit" });
  if (!response.ok) throw await refusal(response);
  const id = response.headers.get("x-request-id") ?? "";
  onHead({ id, headers: response.headers, sentMs });
  try {
    await read(response.body, (data) => pass(data, onEvent, id));
  } catch (error) {
    if (signal.aborted || error instanceof GatewayError) throw error;
    throw new GatewayError("The connection broke before the answer was whole.", { id });
  }
  return { id, headers: response.headers, sentMs, endedMs: performance.now() };
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new GatewayError("The gateway cannot be reached. Is it running, and are you online?");
  }
}

function pass(data, onEvent, id) {
  if (data === END) return;
  const parsed = JSON.parse(data);
  if (parsed.error) throw new GatewayError(wordsOf(parsed.error), { type: parsed.error.type, status: Number(parsed.error.code) || 0, id });
  onEvent(parsed, performance.now());
}

async function refusal(response) {
  const id = response.headers.get("x-request-id") ?? "";
  let error = {};
  try {
    const body = await response.json();
    error = body.error ?? { message: body.detail };
  } catch { /* a proxy's page in place of an answer */ }
  return new GatewayError(wordsOf(error) || `The gateway answered with status ${response.status}.`, { status: response.status, type: error.type, id });
}

function wordsOf(error) {
  return typeof error === "string" ? error : typeof error.message === "string" ? error.message : "";
}

// --- server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

async function read(body, onData) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const feed = eventParser(onData);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Takes text in any pieces; calls with the data of each event. */
export function eventParser(onData) {
  let held = "";
  let data = [];
  return (text) => {
    held += text;
    // A carriage return at the end may be half of a line's end.
    const whole = held.endsWith("\r") ? held.slice(0, -1) : held;
    const lines = whole.split(/\r\n|\n|\r/);
    held = lines.pop() + held.slice(whole.length);
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line === "" && data.length) {
        const found = data.join("\n");
        data = [];
        onData(found);
      }
    }
  };
}

// --- what a stream of Chat Completions adds up to

/** An answer of which nothing has come. Times are of performance.now(). */
export function newAnswer() {
  return { text: "", reasoning: "", details: [], calls: [], images: [], finish: "", model: "", usage: null, firstMs: null, lastMs: null, deltas: 0 };
}

/** Add one chunk to it. */
export function addChunk(answer, chunk, atMs) {
  if (chunk.usage) answer.usage = chunk.usage;
  if (chunk.model) answer.model = chunk.model;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  if (choice.finish_reason) answer.finish = choice.finish_reason;
  const delta = choice.delta ?? {};
  const text = (delta.content ?? "") + (delta.refusal ?? "");
  const reasoning = delta.reasoning ?? delta.reasoning_content ?? "";
  for (const piece of delta.tool_calls ?? []) addCall(answer.calls, piece);
  for (const piece of delta.reasoning_details ?? []) addDetail(answer.details, piece);
  for (const image of delta.images ?? []) if (image.image_url?.url) answer.images.push(image.image_url.url);
  if (typeof text === "string") answer.text += text;
  answer.reasoning += reasoning;
  if (!text && !reasoning && !delta.tool_calls?.length) return;
  answer.firstMs ??= atMs;
  answer.lastMs = atMs;
  answer.deltas += 1;
}

function addCall(calls, piece) {
  const at = piece.index ?? calls.length;
  const call = (calls[at] ??= { id: "", name: "", arguments: "" });
  const said = piece.function ?? piece.custom ?? {};
  if (piece.id) call.id = piece.id;
  if (said.name) call.name += said.name;
  call.arguments += said.arguments ?? said.input ?? "";
}

// Those of one index and type are one: their texts grow.
function addDetail(details, piece) {
  const whole = details.find((one) => piece.index !== undefined && one.index === piece.index && one.type === piece.type);
  if (!whole) {
    details.push({ ...piece });
    return;
  }
  for (const [name, value] of Object.entries(piece)) {
    const grows = ["text", "summary", "data"].includes(name) && typeof whole[name] === "string" && typeof value === "string";
    whole[name] = grows ? whole[name] + value : value ?? whole[name];
  }
}

/** First-token latency in ms, tokens a second between first and last delta, counts, cost in USD; null where it is not known. */
export function measured(answer, sentMs) {
  const usage = answer.usage ?? {};
  const output = usage.completion_tokens ?? null;
  const spanS = answer.deltas > 1 ? (answer.lastMs - answer.firstMs) / 1000 : 0;
  return {
    firstMs: answer.firstMs === null ? null : answer.firstMs - sentMs,
    tokensPerS: output && spanS >= LEAST_SPAN_S ? output / spanS : null,
    input: usage.prompt_tokens ?? null,
    cached: usage.prompt_tokens_details?.cached_tokens ?? null,
    output,
    thought: usage.completion_tokens_details?.reasoning_tokens ?? null,
    costUsd: typeof usage.cost === "number" ? usage.cost : null,
  };
}

/** USD as a page shows it: cents from a cent up, else three significant digits. */
export function usd(value) {
  if (value === null) return "-";
  if (value === 0) return "$0";
  if (value >= 0.01) return "$" + value.toFixed(value < 1 ? 3 : 2);
  return "$" + value.toFixed(Math.min(12, 2 - Math.floor(Math.log10(value)))).replace(/0+$/, "");
}

/** Milliseconds as `85 ms` or `1.75 s`. */
export function duration(ms) {
  if (ms === null) return "-";
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toPrecision(3))} s`;
}
