// From a conversation to the body of a request, and what is wrong with it, in words. Data in, data out; nothing here touches the page.
"use strict";

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const NO_RESULT = "The user gave no result.";
const TEXT_TYPES = /^text\/|^application\/(json|xml|x-sh|javascript|x-yaml|yaml|toml|sql|x-python)/;
const TEXT_NAMES = /\.(txt|md|json|jsonl|csv|tsv|xml|html?|css|m?[jt]sx?|py|rs|go|java|kt|c|h|cc|cpp|hpp|cs|rb|php|swift|sh|sql|ya?ml|toml|ini|cfg|conf|log|tex|diff|patch)$/i;
export const TEXT_ACCEPT = "text/*,application/json,application/xml,.md,.py,.rs,.go,.java,.kt,.c,.h,.cpp,.cs,.rb,.php,.swift,.sh,.sql,.yaml,.yml,.toml,.ini,.log,.ts,.tsx,.jsx,.jsonl,.diff,.patch";
export const ACCEPT = { image: "image/png,image/jpeg,image/webp,image/gif", file: "application/pdf", audio: "audio/wav,audio/mpeg", video: "video/mp4,video/webm" };

/** Settings as they are when nobody has touched them. */
export const NO_SETTINGS = { system: "", temperature: "", top_p: "", max_tokens: "", effort: "", seed: "", stop: "", tools: "", tool_choice: "", schema: "" };

// Setting -> the parameters of which a model must take one.
const NEEDS = {
  temperature: ["temperature"],
  top_p: ["top_p"],
  max_tokens: ["max_completion_tokens"],
  effort: ["reasoning_effort", "reasoning"],
  seed: ["seed"],
  stop: ["stop"],
  tools: ["tools"],
  tool_choice: ["tool_choice"],
  schema: ["response_format", "structured_outputs"],
};

// --- what a model takes

/** Names of models -> what they take. A name that is not known (an order, a model since gone) is taken to take everything. */
function takes(data, name) {
  const model = data.models.find((one) => one.slug === name) ?? data.models.find((one) => name.startsWith(`${one.slug}:`));
  if (!model) return { kinds: null, parameters: null };
  const pinned = name.slice(model.slug.length + 1);
  const lists = Object.entries(model.offers).filter(([provider]) => !(pinned in model.offers) || provider === pinned);
  return { kinds: new Set(model.input), parameters: lists.length ? new Set(lists.flatMap(([, list]) => data.parameters[list])) : null };
}

/** Whether a model takes a setting. */
export function takesSetting(data, name, setting) {
  const { parameters } = takes(data, name);
  return parameters === null || !NEEDS[setting] || NEEDS[setting].some((parameter) => parameters.has(parameter));
}

/** Whether a model takes a file of a kind. */
export function takesKind(data, name, kind) {
  const { kinds } = takes(data, name);
  return kind === "text" || kinds === null || kinds.has(kind);
}

/** What kind of input a file is; empty for one that no model takes. */
export function kindOf(file) {
  if (file.type === "application/pdf") return "file";
  if (/^image\/(png|jpeg|webp|gif)$/.test(file.type)) return "image";
  if (/^audio\/(x-)?(wav|mpeg|mp3)$/.test(file.type)) return "audio";
  if (/^video\//.test(file.type)) return "video";
  return TEXT_TYPES.test(file.type) || TEXT_NAMES.test(file.name) ? "text" : "";
}

// --- JSON that people write

/** {value} or {trouble}; with the line and column of what is wrong, where the browser says it. */
export function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const at = /position (\d+)/.exec(error.message);
    if (!at) return { trouble: `This is no JSON: ${error.message}` };
    const before = text.slice(0, Number(at[1])).split("\n");
    return { trouble: `This is no JSON: see line ${before.length}, column ${before.at(-1).length + 1}.` };
  }
}

/** {value: list of tools} or {trouble}. Functions may stand there bare, as some vendors write them. */
export function readTools(text) {
  const { value, trouble } = parsed(text);
  if (trouble) return { trouble };
  const list = Array.isArray(value) ? value : [value];
  const names = new Set();
  const tools = [];
  for (const [at, one] of list.entries()) {
    const tool = one?.type === undefined && one?.name ? { type: "function", function: bare(one) } : one;
    const wrong = toolTrouble(tool, names);
    if (wrong) return { trouble: `Tool ${at + 1}: ${wrong}` };
    tools.push(tool);
  }
  return { value: tools };
}

function bare({ name, description, parameters, input_schema }) {
  return { name, ...(description ? { description } : {}), parameters: parameters ?? input_schema ?? { type: "object", properties: {} } };
}

function toolTrouble(tool, names) {
  if (tool === null || typeof tool !== "object") return "it must be an object.";
  if (tool.type !== "function") return tool.type ? "" : 'it needs `"type": "function"` and a `function`.';
  const said = tool.function;
  if (said === null || typeof said !== "object") return "it needs a `function`.";
  if (typeof said.name !== "string" || !TOOL_NAME.test(said.name)) return "its `name` must be 1 to 64 letters, digits, underscores or hyphens.";
  if (names.has(said.name)) return `the name \`${said.name}\` stands there twice.`;
  names.add(said.name);
  if (said.parameters === undefined) return "";
  return schemaTrouble(said.parameters) || (said.parameters.type === "object" ? "" : 'its `parameters` must have `"type": "object"`.');
}

/** {value: {name, schema, strict}} or {trouble}: a bare schema, or as Chat Completions wraps it. */
export function readSchema(text) {
  const { value, trouble } = parsed(text);
  if (trouble) return { trouble };
  const wrapped = value?.json_schema ?? value;
  const found = wrapped?.schema && typeof wrapped.name === "string" ? wrapped : { name: "answer", schema: value, strict: true };
  const wrong = schemaTrouble(found.schema);
  return wrong ? { trouble: wrong } : { value: found };
}

const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];

function schemaTrouble(schema, path = "the schema") {
  if (typeof schema === "boolean") return "";
  if (schema === null || typeof schema !== "object" || Array.isArray(schema)) return `${path} must be an object.`;
  const types = schema.type === undefined ? [] : [schema.type].flat();
  const wrong = types.find((type) => !TYPES.includes(type));
  if (wrong !== undefined) return `${path} has the type ${JSON.stringify(wrong)}; there are ${TYPES.join(", ")}.`;
  if (schema.required !== undefined && !Array.isArray(schema.required)) return `\`required\` of ${path} must be a list.`;
  if (schema.properties !== undefined && (schema.properties === null || typeof schema.properties !== "object")) return `\`properties\` of ${path} must be an object.`;
  const below = [...Object.entries(schema.properties ?? {}), ...(schema.items === undefined ? [] : [["items", schema.items]])];
  for (const [name, one] of below) {
    const found = schemaTrouble(one, `\`${name}\``);
    if (found) return found;
  }
  return "";
}

/** What is wrong with the settings, in words; empty if nothing is. */
export function settingsTrouble(settings) {
  const number = (name, words, least, most) => {
    if (settings[name] === "") return "";
    const value = Number(settings[name]);
    return Number.isFinite(value) && value >= least && value <= most ? "" : `${words} must be from ${least} to ${most}.`;
  };
  const whole = (name, words) => (settings[name] === "" || Number.isSafeInteger(Number(settings[name])) ? "" : `${words} must be a whole number.`);
  return (
    number("temperature", "The temperature", 0, 2) ||
    number("top_p", "Top p", 0, 1) ||
    whole("max_tokens", "The most tokens") ||
    (settings.max_tokens !== "" && Number(settings.max_tokens) < 1 ? "The most tokens must be at least 1." : "") ||
    whole("seed", "The seed") ||
    (stops(settings).length > 4 ? "There can be four stops at most." : "") ||
    (settings.tools.trim() && readTools(settings.tools).trouble ? `Tools: ${readTools(settings.tools).trouble}` : "") ||
    (settings.schema.trim() && readSchema(settings.schema).trouble ? `Schema: ${readSchema(settings.schema).trouble}` : "")
  );
}

function stops(settings) {
  return settings.stop.split("\n").filter((line) => line !== "");
}

// --- the body

/** The request that asks one model for the answer to turn `upto` of a conversation; with `answer`, to go on behind its results. */
export function bodyOf(data, thread, upto, name, answer = null) {
  const settings = thread.settings;
  const has = (setting) => settings[setting].trim() !== "" && takesSetting(data, name, setting);
  const body = { model: name, messages: messagesOf(data, thread, upto, name, answer), stream: true, stream_options: { include_usage: true } };
  if (has("temperature")) body.temperature = Number(settings.temperature);
  if (has("top_p")) body.top_p = Number(settings.top_p);
  if (has("max_tokens")) body.max_completion_tokens = Number(settings.max_tokens);
  if (has("effort")) body.reasoning_effort = settings.effort;
  if (has("seed")) body.seed = Number(settings.seed);
  if (has("stop")) body.stop = stops(settings);
  if (has("tools")) body.tools = readTools(settings.tools).value;
  if (body.tools?.length && has("tool_choice")) body.tool_choice = settings.tool_choice;
  if (has("schema")) body.response_format = { type: "json_schema", json_schema: readSchema(settings.schema).value };
  return body;
}

function messagesOf(data, thread, upto, name, answer) {
  const messages = thread.settings.system.trim() ? [{ role: "system", content: thread.settings.system }] : [];
  thread.turns.slice(0, upto + 1).forEach((turn, at) => {
    messages.push({ role: "user", content: contentOf(turn, (kind) => takesKind(data, name, kind)) });
    const given = at === upto ? answer : turn.answers.find((one) => one.model === name) ?? turn.answers.find(hasSaid);
    if (given) messages.push(...given.rounds.flatMap((round) => roundMessages(round, given.model === name)));
  });
  return messages;
}

function hasSaid(answer) {
  return answer.rounds.some((round) => round.text || round.calls.length);
}

// Hidden reasoning goes back to whom it came from alone: nobody else can read it.
function roundMessages(round, own) {
  const calls = round.calls.filter(Boolean);
  if (!round.text && !calls.length) return [];
  const said = { role: "assistant", content: round.text || null };
  if (calls.length) said.tool_calls = calls.map((call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments || "{}" } }));
  if (own && round.details.length) said.reasoning_details = round.details;
  return [said, ...calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: call.result ?? NO_RESULT }))];
}

// Files of earlier turns may be none for the model that is asked now.
function contentOf(turn, taken) {
  if (!turn.files.length) return turn.text;
  const parts = turn.files.map((file) => (taken(file.kind) ? partOf(file) : { type: "text", text: `[Here was ${file.name}, which you cannot read.]` }));
  return turn.text ? [...parts, { type: "text", text: turn.text }] : parts;
}

function partOf(file) {
  if (file.kind === "image") return { type: "image_url", image_url: { url: file.data } };
  if (file.kind === "video") return { type: "video_url", video_url: { url: file.data } };
  if (file.kind === "audio") return { type: "input_audio", input_audio: { data: file.data.slice(file.data.indexOf(",") + 1), format: /wav/.test(file.type) ? "wav" : "mp3" } };
  if (file.kind === "file") return { type: "file", file: { filename: file.name, file_data: file.data } };
  return { type: "text", text: `The file ${file.name}:\n\n${file.data}` };
}
