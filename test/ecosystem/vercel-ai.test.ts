/** Vercel's AI SDK, with the base URL of its OpenAI provider changed. */
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { expect, test } from "vitest";
import { z } from "zod";
import { KEY, MODEL, openStage, straight, times } from "./stage.ts";

const chat = (baseURL: string, name = MODEL, apiKey = KEY) => createOpenAI({ baseURL, apiKey }).chat(name);

test("sixty at once over a budget of ten a second -> all are answered, upstream refuses none; straight at upstream most fail", async () => {
  const stage = await openStage();
  const ask = (baseURL: string, maxRetries: number) =>
    Promise.allSettled(times(60, (n) => generateText({ model: chat(baseURL), prompt: `What is ${n} and ${n}?`, maxRetries })));
  const answers = await ask(stage.baseURL, 2);
  expect(answers.flatMap((each) => (each.status === "rejected" ? [each.reason] : []))).toEqual([]);
  expect(await stage.refused()).toBe(0);
  expect(await stage.completed()).toBe(60);

  const alone = await ask((await straight()).baseURL, 0);
  expect(alone.filter(({ status }) => status === "rejected").length).toBeGreaterThan(20);
});

test("a stream that had to queue -> its pieces make the answer, with usage", async () => {
  const stage = await openStage();
  const crowd = Promise.all(times(20, (n) => generateText({ model: chat(stage.baseURL), prompt: `Question ${n}` })));
  const { text, textStream, usage } = streamText({ model: chat(stage.baseURL), prompt: "Tell me a story." });
  let told = "";
  let pieces = 0;
  for await (const piece of textStream) {
    told += piece;
    pieces++;
  }
  expect(pieces).toBeGreaterThan(3);
  expect(told).toBe(await text);
  expect((await usage).outputTokens).toBeGreaterThan(0);
  expect(await crowd).toHaveLength(20);
});

test("tools -> called with arguments of their schema, and their results sent back for another step", async () => {
  const stage = await openStage();
  const asked: string[] = [];
  const weather = tool({
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return `Rain in ${city}.`;
    },
  });
  const { steps } = await generateText({
    model: chat(stage.baseURL),
    prompt: "What is the weather in Paris?",
    tools: { weather },
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
    stopWhen: stepCountIs(2),
  });
  expect(asked.length).toBeGreaterThan(0);
  expect(steps).toHaveLength(2);
  expect(steps[1]!.text.length).toBeGreaterThan(0);
});

test("structured output -> an object of the schema, whole and as a stream", async () => {
  const { baseURL } = await openStage();
  const schema = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()) });
  const { output } = await generateText({ model: chat(baseURL), prompt: "Who is it?", output: Output.object({ schema }) });
  expect(schema.parse(output)).toEqual(output);
  const streamed = streamText({ model: chat(baseURL), prompt: "Who is it?", output: Output.object({ schema }) });
  await streamed.consumeStream();
  expect(schema.parse(await streamed.output)).toEqual(await streamed.output);
});

test("a wrong key, an unknown model, a bad parameter -> errors that are not tried again", async () => {
  const { baseURL } = await openStage();
  const failed = async (model: ReturnType<typeof chat>, more: object = {}) => {
    const error = await generateText({ model, prompt: "Hello.", ...more }).catch((error: unknown) => error);
    expect(APICallError.isInstance(error)).toBe(true);
    return error;
  };
  expect(await failed(chat(baseURL, MODEL, "sk-wrong"))).toMatchObject({ statusCode: 401, isRetryable: false });
  expect(await failed(chat(baseURL, "gpt-nothing"))).toMatchObject({ statusCode: 404, isRetryable: false });
  expect(await failed(chat(baseURL, "gpt-4.1-mini"), { temperature: 9 })).toMatchObject({ statusCode: 400, isRetryable: false });
});
