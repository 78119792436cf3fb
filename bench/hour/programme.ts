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
};

const phase = (name: string, minutes: number, more: Partial<Phase> = {}): Phase => ({
  ...{ name, minutes, work: true, others: 0, limit: 1, halted: false },
  ...more,
});

export const HOUR: readonly Phase[] = [
  phase("alone", 8),
  phase("others use 30 %", 8, { others: 0.3 }),
  phase("others stop", 4),
  phase("others use 30 % again", 4, { others: 0.3 }),
  phase("limit cut by half, others gone", 8, { limit: 0.5 }),
  phase("limit restored", 6),
  phase("no work", 5, { work: false }),
  phase("burst after idleness", 4),
  phase("billing halt", 6, { halted: true }),
  phase("money again", 7),
];

export const HOUR_MINUTES = HOUR.reduce((sum, { minutes }) => sum + minutes, 0);
