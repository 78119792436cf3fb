/** A minute's limit that differs from the configured one, and that no answer reports any more. */
import { describe, expect, it } from "vitest";
import { openBudget } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import type { LimitReading } from "../../schemas/rate.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

describe("a limit that is told no more", () => {
  it.each<[string, LimitReading | null, number]>([
    ["the day's limit in its stead", { limit: 20_000, remaining: 18_000, resetMs: 8_640_000 }, RPM],
    ["nothing", null, RPM],
    ["it still", { limit: RPM / 2, remaining: RPM / 4, resetMs: 30_000 }, RPM / 2],
  ])("for ten minutes of calls answers tell %s: as configured again by steps, or as told", (_, requests, limit) => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    const tell = (told: LimitReading | null, at: number) => {
      if (told) learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: told, tokens: null }, null, budget, at);
    };
    tell({ limit: RPM / 2, remaining: RPM / 4, resetMs: 30_000 }, START + 1_000);
    // For an hour no call is made: nothing shows that the limit has changed.
    const again = START + 3_600_000;
    for (let at = again; at <= again + 600_000; at += 15_000) {
      expect(learned.started(budget, 10, at)).toEqual([]);
      tell(requests, at + 100);
      learned.untold(at);
    }
    const changes = [615_000, 630_000, 645_000, 660_000].flatMap((ms) => learned.started(budget, 10, again + ms));
    expect(changes.map(({ to }) => to)).toEqual(limit === RPM ? [375, 468.75, 585.9375, 600] : []);
    expect(learned.limits.rpm).toBe(limit);
  });

  it("for an hour of calls nothing is answered, or what upstream refuses: what was learned stands, and ten minutes of calls that are taken are counted from then on", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    const requests = { limit: RPM / 2, remaining: RPM / 4, resetMs: 30_000 };
    learned.take({ pool: "p", job: "j", sentAt: START, at: START, requests, tokens: null }, null, budget, START);
    const changes = Array.from({ length: 400 }, (_, half) => {
      const at = START + 60_000 + half * 30_000;
      const change = learned.started(budget, 10, at);
      if (half >= 120) learned.untold(at);
      return change.length;
    });
    expect(changes.indexOf(1)).toBe(141);
  });

  it("since when it was asked for in vain is written once, goes on through restarts, and counts no more once it was told", () => {
    const bounds = { limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } };
    const lives = (told: (learned: Learned, life: number) => boolean) => {
      const budget = openBudget(CONFIGURED);
      let record = { rpm: RPM / 2, tpm: null } as ReturnType<Learned["record"]>;
      let written = 0;
      for (let life = 0; life <= 60; life++) {
        const now = START + life * 15_000;
        const learned = new Learned(bounds, now);
        learned.restore(record, budget, now);
        const changes = learned.started(budget, 10, now);
        const requests = { limit: RPM / 2, remaining: RPM / 4, resetMs: 30_000 };
        const reading = { pool: "p", job: "j", sentAt: now, at: now + 50, requests, tokens: null };
        if (told(learned, life)) learned.take(reading, { at: now, tokens: 10 }, budget, now + 50);
        learned.untold(now);
        if (changes.length === 0 && !learned.isNotable) continue;
        written++;
        record = JSON.parse(JSON.stringify(learned.record()));
      }
      return { limit: record.rpm, written };
    };
    expect(lives(() => false)).toEqual({ limit: null, written: 5 });
    expect(lives((_, life) => life % 30 === 20)).toEqual({ limit: RPM / 2, written: 5 });
    expect(lives(() => true)).toEqual({ limit: RPM / 2, written: 0 });
  });
});
