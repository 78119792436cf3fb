/** LangChain's ChatOpenAI, with the base URL changed. */
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { expect, test } from "vitest";
import { z } from "zod";
import { KEY, MODEL, openStage, straight, times } from "./stage.ts";

const model = (baseURL: string, fields: object = {}) =>
  new ChatOpenAI({ model: MODEL, apiKey: KEY, configuration: { baseURL }, ...fields });

const weather = tool(async ({ city }) => `Rain in ${city}.`, {
  name: "weather",
  description: "The weather of a city.",
  schema: z.object({ city: z.string() }),
});

test("a batch of sixty over a budget of ten a second -> all are answered, upstream refuses none; straight at upstream most fail", async () => {
  const stage = await openStage();
  const questions = times(60, (n) => `What is ${n} and ${n}?`);
  const answers = await model(stage.baseURL).batch(questions);
  expect(answers.every(({ content }) => typeof content === "string" && content.length > 0)).toBe(true);
  expect(await stage.refused()).toBe(0);
  expect(await stage.completed()).toBe(60);

  const { baseURL } = await straight();
  const alone = await model(baseURL, { maxRetries: 0 }).batch(questions, undefined, { returnExceptions: true });
  expect(alone.filter((each) => each instanceof Error).length).toBeGreaterThan(20);
});

test("a stream that had to queue -> its pieces make the answer, with usage; what the service says meanwhile is not heard", async () => {
  const stage = await openStage();
  const crowd = model(stage.baseURL).batch(times(20, (n) => `Question ${n}`));
  let text = "";
  let pieces = 0;
  let tokens = 0;
  for await (const piece of await model(stage.baseURL).stream("Tell me a story.")) {
    text += piece.text;
    pieces++;
    tokens += (piece.usage_metadata as { output_tokens: number } | undefined)?.output_tokens ?? 0;
  }
  expect(pieces).toBeGreaterThan(3);
  expect(text.split(" ").length).toBeGreaterThan(3);
  expect(tokens).toBeGreaterThan(0);
  expect(await crowd).toHaveLength(20);
});

test("tools -> called with arguments of their schema", async () => {
  const { baseURL } = await openStage();
  const { tool_calls } = await model(baseURL).bindTools([weather], { tool_choice: "weather" }).invoke("What is the weather in Paris?");
  expect(tool_calls).toMatchObject([{ name: "weather", args: { city: expect.any(String) } }]);
  expect((await weather.invoke(tool_calls![0]!)).content).toMatch(/^Rain in /);
});

test.each(["jsonSchema", "functionCalling"] as const)("structured output by %s -> an object of the schema", async (method) => {
  const { baseURL } = await openStage();
  const schema = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()) });
  const person = await model(baseURL).withStructuredOutput(schema, { method }).invoke("Who is it?");
  expect(schema.parse(person)).toEqual(person);
});

test("a wrong key, an unknown model, a bad parameter -> the errors that the library throws for OpenAI", async () => {
  const { baseURL } = await openStage();
  const failed = (fields: object) =>
    model(baseURL, { maxRetries: 0, ...fields })
      .invoke("Hello.")
      .catch((error: unknown) => error);
  expect(await failed({ apiKey: "sk-wrong" })).toMatchObject({ status: 401, lc_error_code: "MODEL_AUTHENTICATION" });
  expect(await failed({ model: "gpt-nothing" })).toMatchObject({ status: 404, lc_error_code: "MODEL_NOT_FOUND" });
  expect(await failed({ temperature: 9 })).toMatchObject({ status: 400 });
});
