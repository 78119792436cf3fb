/**
 * What a reader lacks, job by job, and which mailboxes may be asked for it. Law: each mailbox is asked separately, and only the jobs of one that does not
 * answer wait for it.
 */
import { spotOf } from "../../platform/ids.ts";

/**
 * A job of which a reader lacks the events after a seq. `newest`: the last seq known to exist; `had`: up to which seq it may have been told anyway, because
 * the object slept and forgot, or because the events were in flight when its client started over.
 */
export type Behind = { after: number; newest: number; had: number };

/** Mailboxes that a reader asks at once; and as many again of those that did not answer the last time. */
const ABREAST = 4;

export class Arrears {
  readonly #jobs = new Map<string, Behind>();
  /** Jobs by their mailbox's site, the longest waiting first. */
  readonly #sites = new Map<string, Set<string>>();
  readonly #asked = new Set<string>();
  /** Sites that did not answer the last time, and when they may be asked again (ms). */
  readonly #silent = new Map<string, number>();

  get size(): number {
    return this.#jobs.size;
  }

  get(job: string): Behind | undefined {
    return this.#jobs.get(job);
  }

  has(job: string): boolean {
    return this.#jobs.has(job);
  }

  add(job: string, behind: Behind): void {
    const site = siteIn(job);
    const jobs = this.#sites.get(site) ?? new Set();
    this.#sites.set(site, jobs.add(job));
    this.#jobs.set(job, behind);
  }

  /** Returns whether it was there. */
  delete(job: string): boolean {
    if (!this.#jobs.delete(job)) return false;
    const site = siteIn(job);
    const jobs = this.#sites.get(site)!;
    jobs.delete(job);
    if (jobs.size > 0) return true;
    this.#sites.delete(site);
    this.#silent.delete(site);
    return true;
  }

  clear(): void {
    for (const all of [this.#jobs, this.#sites, this.#silent]) all.clear();
  }

  /** What is lacking from one mailbox, including jobs that are added during the iteration. */
  *of(site: string): Generator<[job: string, behind: Behind]> {
    for (const job of this.#sites.get(site) ?? []) yield [job, this.#jobs.get(job)!];
  }

  /** Whether anything is lacking from this mailbox. */
  lacks(site: string): boolean {
    return this.#sites.has(site);
  }

  /** Whether all that is lacking, if anything is, belongs to mailboxes that do not answer. */
  get outOfReach(): boolean {
    return this.#silent.size === this.#sites.size;
  }

  /** The sites to ask now. Each must be followed by a call of `answered` or `silent`. */
  ask(now: number): string[] {
    const room = { answering: ABREAST, silent: ABREAST };
    for (const site of this.#asked) room[this.#kind(site)]--;
    const sites: string[] = [];
    for (const site of this.#sites.keys()) {
      if (room.answering <= 0 && room.silent <= 0) break;
      if (this.#asked.has(site) || (this.#silent.get(site) ?? now) > now || room[this.#kind(site)] <= 0) continue;
      room[this.#kind(site)]--;
      this.#asked.add(site);
      sites.push(site);
    }
    return sites;
  }

  answered(site: string): void {
    this.#asked.delete(site);
    this.#silent.delete(site);
  }

  /** It did not answer, and must not be asked again before then (ms). */
  silent(site: string, until: number): void {
    this.#asked.delete(site);
    if (this.#sites.has(site)) this.#silent.set(site, until);
  }

  /** Those that did not answer may be asked again. */
  retry(): void {
    for (const site of this.#silent.keys()) this.#silent.set(site, Number.NEGATIVE_INFINITY);
  }

  #kind(site: string): "answering" | "silent" {
    return this.#silent.has(site) ? "silent" : "answering";
  }
}

function siteIn(job: string): string {
  return spotOf(job)?.site ?? "";
}
