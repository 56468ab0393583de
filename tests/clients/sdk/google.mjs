// Google's SDK for JavaScript over both kinds of paths.
import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";
import { ada, backwards, cities, city, collect, key, pixel, refused, root, run, twoRounds } from "./checks.mjs";

const made = (apiKey, vertexai, apiVersion) =>
  new GoogleGenAI({ apiKey, vertexai, httpOptions: { baseUrl: `${root}/api/vertex-ai`, apiVersion } });
const client = made(key, true, "v1");
const { properties, required } = city;
const tools = [{ functionDeclarations: [{ name: "lookup", parametersJsonSchema: { type: "object", properties, required } }] }];
const generate = (model, contents, config = {}) => client.models.generateContent({ model, contents, config });

await run({
  async generate(model) {
    const [prompt, answer] = backwards("<<usage 1234 56>> ");
    const { text, usageMetadata } = await generate(model, prompt, { systemInstruction: "be brief" });
    assert.equal(text, answer);
    assert.deepEqual([usageMetadata.promptTokenCount, usageMetadata.candidatesTokenCount], [1234, 56]);
  },
  async stream(model) {
    const [prompt, answer] = backwards("<<usage 77 11>> ");
    const chunks = await collect(await client.models.generateContentStream({ model, contents: prompt }));
    assert.equal(chunks.map((chunk) => chunk.text ?? "").join(""), answer);
    assert.equal(chunks.at(-1).usageMetadata.promptTokenCount, 77);
  },
  async two_rounds_of_tools_with_thoughts(model) {
    const [prompt, results, answer] = twoRounds();
    const contents = [{ role: "user", parts: [{ text: prompt }] }];
    const config = { tools, thinkingConfig: { includeThoughts: true } };
    for (const [round, result] of results.entries()) {
      const { content } = (await generate(model, contents, config)).candidates[0];
      assert.deepEqual(
        content.parts.filter((part) => part.thought).map((part) => part.text),
        [`round ${cities[round]}`],
      );
      const call = content.parts.find((part) => part.functionCall).functionCall;
      assert.deepEqual(call.args, { city: cities[round] });
      const functionResponse = { id: call.id, name: call.name, response: { result: `the key is ${result}` } };
      contents.push(content, { role: "user", parts: [{ functionResponse }] });
    }
    assert.equal((await generate(model, contents, config)).text, answer);
  },
  async two_rounds_of_tools_in_a_streamed_chat(model) {
    // Its history holds every chunk of a stream as a turn of its own.
    const [prompt, results, answer] = twoRounds();
    const chat = client.chats.create({ model, config: { tools } });
    let message = prompt;
    for (const result of results) {
      const chunks = await collect(await chat.sendMessageStream({ message }));
      const call = chunks.flatMap((chunk) => chunk.functionCalls ?? [])[0];
      message = [{ functionResponse: { id: call.id, name: call.name, response: { result: `the key is ${result}` } } }];
    }
    const last = await collect(await chat.sendMessageStream({ message }));
    assert.equal(last.map((chunk) => chunk.text ?? "").join(""), answer);
  },
  async schema(model) {
    const responseJsonSchema = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } } };
    const { text } = await generate(model, ada, { responseMimeType: "application/json", responseJsonSchema });
    assert.deepEqual(JSON.parse(text), { name: "Ada", age: 36 });
  },
  async image(model) {
    const parts = [{ inlineData: { mimeType: "image/png", data: pixel } }, { text: "<<say images={{nimg}}>>" }];
    assert.equal((await generate(model, [{ role: "user", parts }])).text, "images=1");
  },
  async count_tokens(model) {
    const { totalTokens } = await client.models.countTokens({ model, contents: "hello ".repeat(40) });
    assert.ok(totalTokens > 20 && totalTokens < 500);
  },
  async the_paths_of_the_developer_api(model) {
    for (const version of ["v1", "v1beta"]) {
      const [prompt, answer] = backwards();
      const { text } = await made(key, false, version).models.generateContent({ model, contents: prompt });
      assert.equal(text, answer);
    }
  },
  async errors_by_status(model) {
    const wrong = made("sk-wrong", true, "v1");
    const error = await refused(() => wrong.models.generateContent({ model, contents: "x" }), ApiError);
    assert.ok([401, 403].includes(error.status));
    assert.equal((await refused(() => generate("acme/nowhere", "x"), ApiError)).status, 404);
    const bad = await refused(() => generate(model, "<<fail 400 9>>"), ApiError);
    assert.equal(bad.status, 400);
    assert.match(bad.message, /scripted failure 400/);
  },
});
