// What the JavaScript SDK programs share. In: GATEWAY_URL, GATEWAY_KEY and MODELS in the environment. Out: one line of JSON for each check.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

export const root = process.env.GATEWAY_URL;
export const key = process.env.GATEWAY_KEY;
export const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGP8z4APMOGVHbHSAEEsAROxCnMTAAAAAElFTkSuQmCC";
export const ada = '<<json {"name":"Ada","age":36}>>';
export const city = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const cities = ["Oslo", "Rome"];

const word = () => randomBytes(6).toString("hex");

// A prompt, and its answer, which an echo would not be.
export function backwards(extra = "") {
  const made = word();
  return [`${extra}<<say OK-{{rev:${made}}}>>`, `OK-${[...made].reverse().join("")}`];
}

// A prompt for two rounds of the tool `lookup` with a thought before each, what the tool gives back, and the last answer.
export function twoRounds() {
  const words = cities.map(() => `KEY-${word()}`);
  const steps = cities.map((one) => `<<think round ${one}>> <<call lookup {"city": "${one}"}>>`);
  return [`${steps.join(" ")} <<say tool said {{tool:KEY-\\w+}}>>`, words, `tool said ${words[1]}`];
}

// The error of a call that has to fail.
export async function refused(fails, kind) {
  try {
    await fails();
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  throw new Error("it did not fail");
}

export async function collect(stream) {
  const found = [];
  for await (const one of stream) found.push(one);
  return found;
}

// Every check in order, each with the next model.
export async function run(checks) {
  const models = process.env.MODELS.split(" ");
  for (const [name, check] of Object.entries(checks)) {
    const outcome = { check: name };
    try {
      await check(models.shift());
    } catch (error) {
      outcome.failed = `${error.name}: ${error.message}`.slice(0, 800);
      outcome.at = (error.stack.split("\n").find((line) => line.includes("project/")) ?? "").trim();
    }
    console.log(JSON.stringify(outcome));
  }
}
