import { describe, expect, it } from "vitest";
import { mayBeEdges, whyNeverArrived } from "../../policy/never-arrived.ts";

const plain = (code: number) => `error code: ${code}`;
const structured = (said: object) => JSON.stringify({ title: "Error", cloudflare_error: true, ...said });

describe("Cloudflare says that it handed the request to nobody", () => {
  it.each([
    ["upstream refuses connections", 521, plain(521)],
    ["the same, with the line's end", 521, `${plain(521)}\n`],
    ["the same, as JSON", 521, structured({ status: 521 })],
    ["no TLS", 525, plain(525)],
    ["its certificate is not valid", 526, plain(526)],
    ["its name does not resolve", 530, plain(1016)],
    ["the same, as JSON", 530, structured({ status: 530, error_code: 1016 })],
  ])("%s", (_, status, body) => {
    expect(whyNeverArrived(status, body)).toMatch(/^(it|no|its) /);
    expect(mayBeEdges(status, "cloudflare")).toBe(true);
  });
});

describe("that it did is not said by", () => {
  it.each([
    ["an answer that may come after the request was sent: none", 520, plain(520)],
    ["no acknowledgement of a connection, or of the request", 522, plain(522)],
    ["no route", 523, plain(523)],
    ["no answer in time", 524, plain(524)],
    ["a tunnel that is down", 530, plain(1033)],
    ["another's page", 521, "<!doctype html><title>521: Web server is down</title>"],
    ["a gateway's error that has the number", 521, JSON.stringify({ error: { message: "error code: 521" } })],
    ["JSON of somebody else", 521, JSON.stringify({ status: 521, cloudflare_error: "true" })],
    ["a number that does not fit the status", 525, plain(521)],
    ["a name's number with another status", 521, structured({ error_code: 1016 })],
    ["JSON that is no object", 521, "null"],
    ["nothing", 521, ""],
  ])("%s", (_, status, body) => {
    expect(whyNeverArrived(status, body)).toBeNull();
  });

  it("an answer that is not Cloudflare's own, or has another status: its body is not looked at", () => {
    expect(mayBeEdges(521, null)).toBe(false);
    expect(mayBeEdges(521, "nginx")).toBe(false);
    for (const status of [200, 500, 502, 504, 520, 522, 523, 524, 527]) expect(mayBeEdges(status, "cloudflare")).toBe(false);
  });
});
