import { describe, expect, it } from "vitest";
import { eventId, eventOf, signedContent } from "../../policy/webhook/event.ts";
import type { Job } from "../../schemas/job.ts";

const job: Job = {
  ...{ id: "job_abc_Yw", object: "job", status: "completed", channel: "c", model: "gpt-5-mini", priority: 0, created_at: 1 },
  ...{ not_before: null, deadline: null, started_at: 2, ended_at: 3, attempts: 1, possible_duplicates: 0, position: null, eta: null },
  ...{ usage: null, response: { id: "chatcmpl-1" }, error: null, metadata: { order: "4711" } },
};

describe("the event of a job", () => {
  it("is OpenAI's shape around the job", () => {
    expect(eventOf(job, false)).toEqual({
      id: "evt_abc_Yw",
      object: "event",
      type: "job.completed",
      created_at: 3,
      data: { ...job, truncated: false },
    });
  });

  it.each(["failed", "cancelled", "expired"] as const)("%s -> its own type", (status) => {
    expect(eventOf({ ...job, status }, false).type).toBe(`job.${status}`);
  });

  it("what is too long is left out, and said to be", () => {
    expect(eventOf({ ...job, response: null }, true).data).toMatchObject({ response: null, truncated: true });
    const error = { message: "x".repeat(1_000_000), type: "server_error", code: null, param: null, status: 500 };
    const { data } = eventOf({ ...job, status: "failed", response: null, error }, false);
    expect([data.error?.message.length, data.truncated]).toEqual([10_000, true]);
  });

  it("one job, one id", () => {
    expect(eventId("job_abc_Yw")).toBe(eventId("job_abc_Yw"));
    expect(eventId("job_abc_Yw")).not.toBe(eventId("job_abc_Zw"));
  });

  it("signed are id, time and body, joined by dots", () => {
    expect(signedContent("evt_1", 1_674_087_231, '{"a":1}')).toBe('evt_1.1674087231.{"a":1}');
  });
});
