import { findModel, type Limits } from "./catalog.ts";
import type { Control } from "./settings.ts";

/** A scheduled change. */
export interface Step {
  /** Unix ms. */
  at: number;
  control: Control;
  /** Part of a gradual change of limits, which any later change of limits ends. */
  ramp: boolean;
}

const MOST_RAMP_STEPS = 60;

export function planSteps(schedule: NonNullable<Control["schedule"]>, now: number): Step[] {
  const steps = schedule.map(({ after_seconds, ...control }) => ({ at: now + after_seconds * 1000, control, ramp: false }));
  return inOrder(steps);
}

/** Limits that move evenly from their current to their new values: one step per second, at most sixty. */
export function planRamp(from: Record<string, Limits>, to: Record<string, Limits>, seconds: number, now: number): Step[] {
  const count = Math.min(MOST_RAMP_STEPS, Math.ceil(seconds));
  return Array.from({ length: count }, (_, index) => {
    const share = (index + 1) / count;
    const limits = Object.fromEntries(
      Object.entries(to).map(([name, end]) => [name, between(from[name] ?? startOf(name, end), end, share)]),
    );
    return { at: now + seconds * 1000 * share, control: { limits }, ramp: true };
  });
}

export function inOrder(steps: readonly Step[]): Step[] {
  return [...steps].sort((left, right) => left.at - right.at);
}

function startOf(name: string, end: Limits): Limits {
  return findModel(name)?.limits ?? end;
}

function between(from: Limits, to: Limits, share: number): Limits {
  if (share === 1) return to;
  const mix = (one: number, other: number) => Math.max(1, Math.round(one + (other - one) * share));
  return { ...to, rpm: mix(from.rpm, to.rpm), tpm: mix(from.tpm, to.tpm) };
}
