/**
 * What a reader lacks, job by job, and whom it may be asked of. Law: each mailbox is asked by itself, and what belongs to one that does not answer is all
 * that waits for it.
 */
import { spotOf } from "../../platform/ids.ts";

/**
 * A job of which a reader lacks what comes after a seq. `newest`: the last that is known to have come; `had`: up to which it may have been told nonetheless, as
 * the object slept and has forgotten, or it was on its way when its client began anew.
 */
export type Behind = { after: number; newest: number; had: number };

/** Mailboxes that a reader asks at once; beside them as many of those that did not answer the last time. */
const ABREAST = 4;

export class Arrears {
  readonly #jobs = new Map<string, Behind>();
  /** Jobs by their mailbox's site, the longest waiting first. */
  readonly #sites = new Map<string, Set<string>>();
  readonly #asked = new Set<string>();
  /** Sites that did not answer, until they do, and when they may be asked again (ms). */
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

  /** Answers whether it was there. */
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

  /** What is lacked of one mailbox; those that are added meanwhile come too. */
  *of(site: string): Generator<[job: string, behind: Behind]> {
    for (const job of this.#sites.get(site) ?? []) yield [job, this.#jobs.get(job)!];
  }

  /** Whether anything of this mailbox is lacked. */
  lacks(site: string): boolean {
    return this.#sites.has(site);
  }

  /** All that is lacked, if anything is, belongs to mailboxes that do not answer. */
  get outOfReach(): boolean {
    return this.#silent.size === this.#sites.size;
  }

  /** Whom to ask now: each is told here when it has been asked, by `answered` or `silent`. */
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

  /** It did not answer, and is not to be asked again before then (ms). */
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
