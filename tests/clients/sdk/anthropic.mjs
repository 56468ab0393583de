// The Anthropic SDK for JavaScript.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { backwards, cities, city, key, pixel, refused, root, run, twoRounds } from "./checks.mjs";

const baseURL = `${root}/api/anthropic`;
const client = new Anthropic({ baseURL, apiKey: key });
const tools = [{ name: "lookup", description: "look up a key", input_schema: city }];
const thinking = { type: "enabled", budget_tokens: 1024 };
const user = (content) => [{ role: "user", content }];
const create = (model, content, more = {}) =>
  client.messages.create({ model, max_tokens: 100, messages: user(content), ...more });
const textOf = (message) =>
  message.content
    .filter((block) => block.type === "text")
    .map((block) => block.text)
    .join("");

async function rounds(ask) {
  const [prompt, results, answer] = twoRounds();
  const messages = user(prompt);
  for (const [round, result] of results.entries()) {
    const { content, stop_reason } = await ask(messages);
    const thoughts = content.filter((block) => block.type === "thinking");
    assert.deepEqual(thoughts.map((block) => [block.thinking, Boolean(block.signature)]), [[`round ${cities[round]}`, true]]);
    assert.equal(stop_reason, "tool_use");
    assert.deepEqual(content.at(-1).input, { city: cities[round] });
    const given = { type: "tool_result", tool_use_id: content.at(-1).id, content: `the key is ${result}` };
    messages.push({ role: "assistant", content }, { role: "user", content: [given] });
  }
  assert.equal(textOf(await ask(messages)), answer);
}

await run({
  async messages(model) {
    const [prompt, answer] = backwards("<<usage 1234 56>> ");
    const made = await create(model, prompt, { system: "be brief" });
    assert.deepEqual([textOf(made), made.stop_reason], [answer, "end_turn"]);
    assert.deepEqual([made.usage.input_tokens, made.usage.output_tokens], [1234, 56]);
    assert.ok(Number(made.usage.cost) > 0);
  },
  async stream(model) {
    const [prompt, answer] = backwards("<<usage 77 11>> ");
    const stream = client.messages.stream({ model, max_tokens: 100, messages: user(prompt) });
    const made = await stream.finalMessage();
    assert.deepEqual([textOf(made), made.usage.input_tokens, made.usage.output_tokens], [answer, 77, 11]);
  },
  two_rounds_of_tools_with_thinking: (model) =>
    rounds((messages) => client.messages.create({ model, max_tokens: 4000, messages, tools, thinking })),
  two_rounds_of_tools_with_thinking_streamed: (model) =>
    rounds((messages) => client.messages.stream({ model, max_tokens: 4000, messages, tools, thinking }).finalMessage()),
  async image(model) {
    const source = { type: "base64", media_type: "image/png", data: pixel };
    const made = await create(model, [
      { type: "image", source },
      { type: "text", text: "<<say images={{nimg}}>>" },
    ]);
    assert.equal(textOf(made), "images=1");
  },
  async count_tokens(model) {
    const counted = await client.messages.countTokens({ model, messages: user("hello ".repeat(40)) });
    assert.ok(counted.input_tokens > 20 && counted.input_tokens < 500);
  },
  async models(model) {
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async errors_by_class(model) {
    const wrong = new Anthropic({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
    const asked = { model, max_tokens: 5, messages: user("x") };
    const error = await refused(() => wrong.messages.create(asked), Anthropic.APIError);
    assert.ok([401, 403].includes(error.status));
    await refused(() => create("acme/nowhere", "x"), Anthropic.NotFoundError);
    const bad = await refused(() => create(model, "<<fail 400 9>>"), Anthropic.BadRequestError);
    assert.match(bad.message, /scripted failure 400/);
    const messages = user("<<errmid 2>> <<say a longer text to break off>>");
    await refused(() => client.messages.stream({ model, max_tokens: 100, messages }).finalMessage(), Anthropic.AnthropicError);
  },
  async it_gets_over_a_busy_upstream(model) {
    const [prompt, answer] = backwards("<<fail 529 1>> ");
    assert.equal(textOf(await create(model, prompt)), answer);
  },
});
