/**
 * Law: whatever dies between two steps of a job, the job ends once, with an answer that upstream gave, and every call that upstream
 * saw is in the job's own count.
 */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, it } from "vitest";
import type { Moment } from "../support/stand.ts";
import { resetWorld } from "../support/world.ts";
import { dieAt, STEPS, type Victim } from "./cell.ts";

beforeEach(resetWorld);
afterEach(reset);

const MOMENTS: Moment[] = ["before it runs", "before its answer arrives"];
const VICTIMS: Victim[] = ["all objects", "the one that is called", "the one that calls"];

describe.each(STEPS.map((step) => [step.name ?? step.method, step] as const))("%s", (_, step) => {
  describe.each(MOMENTS)("%s", (moment) => {
    it.each(VICTIMS)("%s: dead, and every job still ends once", (victim) => dieAt(step, moment, victim));
  });
});
