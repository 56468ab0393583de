// The OpenAI SDK for JavaScript over Chat Completions and Responses.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { ada, backwards, cities, city, collect, key, pixel, refused, root, run, twoRounds } from "./checks.mjs";

const baseURL = `${root}/api/v1`;
const client = new OpenAI({ baseURL, apiKey: key });
const lookup = { name: "lookup", description: "look up a key", parameters: city, strict: true };
const tools = [{ type: "function", function: lookup }];
const image = `data:image/png;base64,${pixel}`;
const user = (content) => [{ role: "user", content }];
const chat = (model, content, more = {}) =>
  client.chat.completions.create({ model, messages: user(content), ...more });
const person = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};

async function chatRounds(ask) {
  const [prompt, results, answer] = twoRounds();
  const messages = user(prompt);
  for (const [round, result] of results.entries()) {
    const { message, finish_reason } = (await ask(messages)).choices[0];
    assert.equal(finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: cities[round] });
    messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: `the key is ${result}` });
  }
  assert.equal((await ask(messages)).choices[0].message.content, answer);
}

await run({
  async chat(model) {
    const [prompt, answer] = backwards("<<usage 1234 56>> ");
    const made = await chat(model, prompt);
    assert.equal(made.choices[0].message.content, answer);
    assert.deepEqual([made.usage.prompt_tokens, made.usage.completion_tokens], [1234, 56]);
    assert.ok(Number(made.usage.cost) > 0);
  },
  async chat_stream(model) {
    const [prompt, answer] = backwards("<<usage 77 11>> ");
    const chunks = await collect(await chat(model, prompt, { stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), answer);
    assert.equal(chunks.at(-1).usage.prompt_tokens, 77);
  },
  chat_two_rounds_of_tools: (model) =>
    chatRounds((messages) => client.chat.completions.create({ model, messages, tools })),
  chat_two_rounds_of_tools_streamed: (model) =>
    chatRounds((messages) => client.chat.completions.stream({ model, messages, tools }).finalChatCompletion()),
  async chat_image(model) {
    const parts = [
      { type: "text", text: "<<say images={{nimg}}>>" },
      { type: "image_url", image_url: { url: image } },
    ];
    assert.equal((await chat(model, parts)).choices[0].message.content, "images=1");
  },
  async chat_schema(model) {
    const response_format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: person } };
    const made = await client.chat.completions.parse({ model, messages: user(ada), response_format });
    assert.deepEqual(JSON.parse(made.choices[0].message.content), { name: "Ada", age: 36 });
  },
  async chat_thinking(model) {
    const { message } = (await chat(model, "<<think let me see>> <<say fine>>", { reasoning_effort: "low" })).choices[0];
    assert.deepEqual([message.reasoning_content, message.content], ["let me see", "fine"]);
  },
  async responses_stream(model) {
    const [prompt, answer] = backwards("<<usage 77 11>> ");
    const made = await client.responses.stream({ model, input: prompt }).finalResponse();
    assert.equal(made.output_text, answer);
    assert.deepEqual([made.usage.input_tokens, made.usage.output_tokens], [77, 11]);
  },
  async responses_two_rounds_of_tools(model) {
    const [prompt, results, answer] = twoRounds();
    const input = user(prompt);
    const asked = { model, tools: [{ type: "function", ...lookup }], store: false };
    asked.include = ["reasoning.encrypted_content"];
    for (const [round, result] of results.entries()) {
      const { output } = await client.responses.create({ ...asked, input });
      const call = output.find((item) => item.type === "function_call");
      assert.deepEqual(JSON.parse(call.arguments), { city: cities[round] });
      input.push(...output, { type: "function_call_output", call_id: call.call_id, output: `the key is ${result}` });
    }
    assert.equal((await client.responses.create({ ...asked, input })).output_text, answer);
  },
  async responses_continue_a_stored_one(model) {
    const first = await client.responses.create({ model, input: "first", store: true });
    const asked = { model, input: "<<say seen={{nmsg}}>>", previous_response_id: first.id };
    assert.equal((await client.responses.create(asked)).output_text, "seen=3");
  },
  async models(model) {
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async errors_by_class(model) {
    const wrong = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
    const asked = { model, messages: user("x") };
    const error = await refused(() => wrong.chat.completions.create(asked), OpenAI.APIError);
    assert.ok([401, 403].includes(error.status));
    await refused(() => chat("acme/nowhere", "x"), OpenAI.NotFoundError);
    const bad = await refused(() => chat(model, "<<fail 400 9>>"), OpenAI.BadRequestError);
    assert.match(bad.message, /scripted failure 400/);
    const prompt = "<<errmid 2>> <<say a longer text to break off>>";
    await refused(async () => collect(await chat(model, prompt, { stream: true })), OpenAI.APIError);
  },
  async it_gets_over_a_busy_upstream(model) {
    const [prompt, answer] = backwards("<<fail 429 1 1>> ");
    assert.equal((await chat(model, prompt)).choices[0].message.content, answer);
  },
});
