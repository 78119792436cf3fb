/** Braintrust's autoevals: a model judges answers. It reads the base URL and the key from the environment and brings its own `openai` package. */
import { ClosedQA, Factuality, LLMClassifierFromTemplate } from "autoevals";
import { afterEach, expect, test, vi } from "vitest";
import { KEY, openStage, straight, times } from "./stage.ts";

/** A model that autoevals calls through chat completions; GPT-5 models it calls through the Responses API. */
const JUDGE = "gpt-4.1-mini";

afterEach(() => vi.unstubAllEnvs());

function point(baseURL: string): void {
  vi.stubEnv("OPENAI_BASE_URL", baseURL);
  vi.stubEnv("OPENAI_API_KEY", KEY);
}

test("judges that ship with it -> a score, with reasons", async () => {
  const { baseURL } = await openStage();
  point(baseURL);
  const question = { input: "Which country has the highest population?", output: "People's Republic of China", model: JUDGE };
  const factual = await Factuality({ ...question, expected: "China" });
  expect(factual).toMatchObject({ name: "Factuality", score: expect.any(Number), metadata: { rationale: expect.any(String) } });
  expect(await ClosedQA({ ...question, criteria: "Is it a country?" })).toMatchObject({ score: expect.any(Number) });
});

test("sixty answers judged at once over a budget of ten a second -> each has its score, upstream refuses none; straight at upstream most fail", async () => {
  const judge = LLMClassifierFromTemplate<{ input: string }>({
    name: "Politeness",
    promptTemplate: "Is this polite? {{{output}}} It answers: {{{input}}}",
    choiceScores: { Yes: 1, No: 0 },
    model: JUDGE,
  });
  const all = () => Promise.allSettled(times(60, (n) => judge({ output: `Answer ${n}`, input: `Question ${n}` })));
  const stage = await openStage(JUDGE);
  point(stage.baseURL);
  const scores = await all();
  expect(scores.every((each) => each.status === "fulfilled" && [0, 1].includes(each.value.score as number))).toBe(true);
  expect(await stage.refused()).toBe(0);

  point((await straight(JUDGE)).baseURL);
  const alone = await all();
  expect(alone.filter(({ status }) => status === "rejected").length).toBeGreaterThan(10);
});
