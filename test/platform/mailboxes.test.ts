import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lobbyChannel, mailboxName, parseMailboxName, publicChannel, SPREAD, spreadChannel } from "../../platform/mailboxes.ts";
import { JobInput } from "../../schemas/job.ts";

const request = { model: "m", messages: [{ role: "user" }] };

describe("a mailbox", () => {
  // Law: no two addresses share a name, and a name gives its address back.
  it("knows its address from its name, slashes in the channel and all", () => {
    const tenant = fc.string({ unit: fc.constantFrom(..."abcXYZ019_.-"), minLength: 1, maxLength: 64 });
    const channel = fc.oneof(fc.string({ unit: "binary", minLength: 1 }), fc.constantFrom("a/b", "/", "//", "~0"));
    fc.assert(
      fc.property(tenant, channel, (tenant, channel) => {
        expect(parseMailboxName(mailboxName({ tenant, channel }))).toEqual({ tenant, channel });
      }),
    );
  });

  it("of jobs without a channel is one of eight, used alike", () => {
    const all = Array.from({ length: 10 * SPREAD }, (_, index) => spreadChannel(index));
    expect(new Set(all).size).toBe(SPREAD);
    for (const each of new Set(all)) expect(all.filter((other) => other === each).length).toBe(10);
  });

  it("of lobbies is none of theirs", () => {
    const lobbies = Array.from({ length: 100 }, (_, index) => lobbyChannel(index));
    expect(new Set(lobbies).size).toBe(SPREAD);
    for (let index = 0; index < SPREAD; index++) expect(lobbies).not.toContain(spreadChannel(index));
  });

  it("of Sluice's own has no public channel, and no client may name it", () => {
    for (const own of [spreadChannel(3), lobbyChannel(3)]) {
      expect(publicChannel(own)).toBeNull();
      expect(JobInput.safeParse({ request, channel: own }).success).toBe(false);
    }
  });

  it("that a client may name is public under that name", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 10 }), (channel) => {
        fc.pre(JobInput.safeParse({ request, channel }).success);
        expect(publicChannel(channel)).toBe(channel);
      }),
    );
  });
});
