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
  /** An operator resumes the pool at the beginning. */
  resumed: boolean;
};

/** Nothing but the limits of a minute keeps work from upstream. */
export const isOpen = ({ day, halted, slowDown, work }: Phase): boolean => work && !halted && slowDown === 0 && day === null;

const phase = (name: string, minutes: number, more: Partial<Phase> = {}): Phase => ({
  ...{ name, minutes, work: true, others: 0, limit: 1, halted: false, headers: true, gateway: 0, slowDown: 0, day: null, resumed: false },
  ...more,
});

export const HOUR: readonly Phase[] = [
  phase("alone", 5),
  phase("others use 30 %", 6, { others: 0.3 }),
  phase("others stop", 3),
  phase("others use 30 % again", 3, { others: 0.3 }),
  phase("limit cut by half, others gone", 5, { limit: 0.5 }),
  phase("limit restored", 4),
  phase("no headers, others use 30 %", 5, { headers: false, others: 0.3 }),
  phase("headers again, others gone", 3),
  phase("a gateway gives up on 1 in 20", 4, { gateway: 0.05 }),
  phase("no work", 3, { work: false }),
  phase("burst after idleness", 3),
  phase("billing halt", 3, { halted: true }),
  phase("money again", 4),
  phase("slow_down", 3, { slowDown: 5 }),
  phase("an operator lifts the cut", 2, { resumed: true }),
  phase("a day's limit", 2, { day: 0.5 }),
  phase("the day's limit is gone", 2, { resumed: true }),
];

export const HOUR_MINUTES = HOUR.reduce((sum, { minutes }) => sum + minutes, 0);
