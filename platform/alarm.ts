/** The one owner of an object's alarm. Law: many wishes, one alarm, set no later than the earliest of them. */

/** Waits up to this long are timed in memory, to the millisecond; longer ones by the alarm, so that the object can sleep. */
const TIMER_MS = 10_000;
/** While something is timed in memory, the alarm is set this far ahead, so that an object that died is woken. */
const WATCHDOG_MS = 30_000;
/** An alarm overdue by this much will not ring any more: the platform may be a minute late, and gives up after six failures. It would block other wishes. */
const LOST_MS = 60_000;

export class Alarm {
  readonly #ctx: DurableObjectState;
  /** When the alarm is set for; before that is known, the earliest wish. */
  #at: number | null = null;
  #known = false;
  /** The time of the last wish, for wishes made in the constructor. */
  #now = 0;

  /** Create it in the object's constructor: nothing else is let in until it is known what was set. Wishes of the constructor itself are kept until then. */
  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.blockConcurrencyWhile(async () => {
      const set = await ctx.storage.getAlarm();
      const wish = this.#at;
      [this.#at, this.#known] = [set, true];
      if (wish !== null) this.wakeBy(wish, this.#now);
    });
  }

  /** Makes sure that the object is awake by then (ms). A lost alarm is made good at once: what it was set for is due, and nobody will ask for it again. */
  wakeBy(at: number, now: number): void {
    this.#now = now;
    const lost = this.#at !== null && this.#at <= now - LOST_MS;
    if (this.#at !== null && this.#at <= at && !lost) return;
    this.#at = lost ? Math.min(at, now) : at;
    if (this.#known) this.#ctx.waitUntil(this.#ctx.storage.setAlarm(this.#at));
  }

  /** The alarm went off: none is set now. */
  rang(): void {
    this.#at = null;
  }
}

/** An alarm with a timer in front, for an object that must act to the millisecond. */
export class Timekeeper {
  readonly #alarm: Alarm;
  readonly #due: () => void;
  #timer: { at: number; id: ReturnType<typeof setTimeout> } | null = null;

  /** `due` is called when the timer fires; the alarm calls the object itself. */
  constructor(ctx: DurableObjectState, due: () => void) {
    this.#alarm = new Alarm(ctx);
    this.#due = due;
  }

  /** Something is due at `at` (ms); Infinity if nothing is. */
  wakeAt(at: number, now: number): void {
    if (at === Number.POSITIVE_INFINITY) return;
    const soon = at - now <= TIMER_MS;
    if (soon) this.#setTimer(at, now);
    this.#alarm.wakeBy(soon ? now + WATCHDOG_MS : Math.ceil(at), now);
  }

  /** Has the alarm ring as soon as it can. */
  ring(now: number): void {
    this.#alarm.wakeBy(now, now);
  }

  rang(): void {
    this.#alarm.rang();
  }

  #setTimer(at: number, now: number): void {
    if (this.#timer && this.#timer.at <= at) return;
    if (this.#timer) clearTimeout(this.#timer.id);
    const fire = () => {
      this.#timer = null;
      this.#due();
    };
    this.#timer = { at, id: setTimeout(fire, Math.max(1, Math.ceil(at - now))) };
  }
}
