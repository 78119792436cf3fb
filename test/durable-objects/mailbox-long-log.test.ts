import { expect, it } from "vitest";
import { append, entriesOf } from "../../durable-objects/mailbox/log.ts";
import type { JobRow } from "../../durable-objects/mailbox/store/store.ts";
import { EPOCH } from "../support/world.ts";

/** A row that holds more is refused by the platform, though not by the local runtime. */
const ROW_BYTES = 2_000_000;
const MINUTE = 60_000;

/** A job that is called once a minute while upstream is down. */
function probed(minutes: number): JobRow {
  const row = { accepted_at: EPOCH, log: null } as JobRow;
  for (let attempt = 1; attempt <= minutes; attempt++) {
    const at = EPOCH + attempt * MINUTE;
    append(row, 0, "in_progress", at, { attempt }, attempt * 2);
    const error = { message: `${attempt} ${"漢".repeat(3_990)}`, code: null, status: 502 };
    append(row, 0, "retrying", at, { attempt, retry_at: at / 1_000, error, failed_at: at / 1_000 }, attempt * 2 + 1);
  }
  return row;
}

it("a job that is called while upstream is down for a day -> its log fits in a row, has no gap, and says what upstream said last", () => {
  const row = probed(24 * 60);
  expect(new TextEncoder().encode(row.log!).length).toBeLessThan(ROW_BYTES / 2);
  const entries = entriesOf(row);
  expect(entries.map(([seq]) => seq)).toEqual(entries.map((_, index) => index + 1));
  expect(entries.at(-1)![3]).toMatchObject({ attempt: 1_440, error: { message: expect.stringMatching(/^1440 /) } });
  expect(entries[2]).toMatchObject([3, "retrying", EPOCH + MINUTE, { attempt: 1, error: null }, 3]);
});

it("a job that is called while upstream is down for half an hour -> its log keeps all that upstream said", () => {
  for (const [, event, , data] of entriesOf(probed(30))) if (event === "retrying") expect(data).toMatchObject({ error: { status: 502 } });
});
