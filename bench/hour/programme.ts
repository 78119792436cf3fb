/** What happens in the hour, in minutes of the hour. */
export type Phase = {
  name: string;
  minutes: number;
  /** Work is always waiting, or none is handed in. */
  work: boolean;
  /** Share of the whole limit that others try to use. */
  others: number;
  /** Share of the whole limit that is in force. */
  limit: number;
  halted: boolean;
  /** Whether answers tell of the limits; without, refusals name no wait either. */
  headers: boolean;
  /** Share of the calls for which the model works, and a gateway gives up waiting. */
  gateway: number;
  /** Calls that are told to slow down. */
  slowDown: number;
  /** A day's limit is in force, of which so much of what the minute's lets through in this phase is left. */
  day: number | null;
  /** Jobs have large prompts: tokens bind, not requests. */
  large: boolean;
  /** A `slow_down` of before still holds the pool to less than its rate: it comes back in half an hour of real time. */
  cut: boolean;
};

/** Nothing but the limits of a minute keeps work from upstream. */
export const isOpen = ({ cut, day, halted, slowDown, work }: Phase): boolean => work && !halted && !cut && slowDown === 0 && day === null;

const phase = (name: string, minutes: number, more: Partial<Phase> = {}): Phase => ({
  ...{ name, minutes, work: true, others: 0, limit: 1, halted: false, headers: true, gateway: 0, slowDown: 0, day: null },
  ...{ large: false, cut: false },
  ...more,
});

/** Nobody operates anything: whatever happens, the service comes back by itself. */
export const HOUR: readonly Phase[] = [
  phase("alone", 3),
  phase("others use 30 %", 4, { others: 0.3 }),
  phase("others stop", 2),
  phase("others use 30 % again", 2, { others: 0.3 }),
  phase("limit cut by half, others gone", 6, { limit: 0.5 }),
  phase("limit restored", 4),
  phase("no headers, others use 30 %", 3, { headers: false, others: 0.3 }),
  phase("headers again, others gone", 2),
  phase("a gateway gives up on 1 in 20", 3, { gateway: 0.05 }),
  phase("large prompts: tokens bind", 3, { large: true }),
  phase("large prompts, others use 30 %", 3, { large: true, others: 0.3 }),
  phase("no work", 4, { work: false }),
  phase("burst after idleness", 3),
  phase("billing halt", 3, { halted: true }),
  phase("money again", 4),
  phase("a day's limit", 2, { day: 0.5 }),
  phase("the day's limit is gone", 5),
  phase("slow_down", 1, { slowDown: 5 }),
  phase("back from it by itself", 3, { cut: true }),
];

export const HOUR_MINUTES = HOUR.reduce((sum, { minutes }) => sum + minutes, 0);
