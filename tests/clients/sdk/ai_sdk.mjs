// The AI SDK over its provider packages for all four protocols.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { ada, backwards, cities, key, pixel, root, run, twoRounds } from "./checks.mjs";

const openai = { baseURL: `${root}/api/v1`, apiKey: key };
const providers = {
  chat: createOpenAICompatible({ ...openai, name: "trunkline", includeUsage: true, supportsStructuredOutputs: true }),
  responses: createOpenAI(openai).responses,
  messages: createAnthropic({ baseURL: `${root}/api/anthropic/v1`, apiKey: key }),
  gemini: (model) => createGoogleGenerativeAI({ baseURL: `${root}/api/vertex-ai/v1beta`, apiKey: key })(`models/${model}`),
};

function toolLoop(results, asked) {
  const execute = async ({ city }) => {
    asked.push(city);
    return `the key is ${results[asked.length - 1]}`;
  };
  const lookup = tool({ description: "look up a key", inputSchema: z.object({ city: z.string() }), execute });
  return { tools: { lookup }, stopWhen: stepCountIs(5) };
}

const checks = {};
for (const [name, provider] of Object.entries(providers)) {
  checks[`${name}_generate`] = async (model) => {
    const [prompt, answer] = backwards("<<usage 1234 56>> ");
    const { text, usage } = await generateText({ model: provider(model), prompt });
    assert.equal(text, answer);
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [1234, 56]);
  };
  checks[`${name}_stream`] = async (model) => {
    const [prompt, answer] = backwards("<<usage 77 11>> ");
    const made = streamText({ model: provider(model), prompt });
    assert.equal(await made.text, answer);
    assert.equal((await made.usage).inputTokens, 77);
  };
  checks[`${name}_two_rounds_of_tools`] = async (model) => {
    const [prompt, results, answer] = twoRounds();
    const asked = [];
    const { text } = await generateText({ model: provider(model), prompt, ...toolLoop(results, asked) });
    assert.deepEqual([text, asked], [answer, cities]);
  };
  checks[`${name}_two_rounds_of_tools_streamed`] = async (model) => {
    const [prompt, results, answer] = twoRounds();
    const asked = [];
    const made = streamText({ model: provider(model), prompt, ...toolLoop(results, asked) });
    assert.equal(await made.text, answer);
    assert.deepEqual(asked, cities);
  };
  checks[`${name}_object`] = async (model) => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const made = await generateText({ model: provider(model), prompt: ada, output: Output.object({ schema }) });
    assert.deepEqual(made.output, { name: "Ada", age: 36 });
  };
  checks[`${name}_image`] = async (model) => {
    const content = [
      { type: "text", text: "<<say images={{nimg}}>>" },
      { type: "image", image: Buffer.from(pixel, "base64") },
    ];
    assert.equal((await generateText({ model: provider(model), messages: [{ role: "user", content }] })).text, "images=1");
  };
}
await run(checks);
