/** How one tenant's jobs progress, by the events that came and the demo's own clock. Times in seconds. */
import { type EndEvent, type Event, isEnd, type JobEnd } from "../../index.ts";

export type Course = {
  running: boolean;
  queuedAt: number | null;
  /** When the first attempt began. */
  startedAt: number | null;
  /** When the last attempt began. */
  calledAt: number | null;
  endedAt: number | null;
  end: JobEnd | null;
  tokens: number;
  attempts: number;
};

/** A job that has been called and answered. */
export type Done = Course & { queuedAt: number; startedAt: number; calledAt: number; endedAt: number };

export function seconds(): number {
  return performance.now() / 1_000;
}

export class Track {
  readonly tenant: string;
  /** Jobs to submit. */
  readonly total: number;
  readonly courses = new Map<string, Course>();
  /** Jobs that the service accepted; null until it has answered. */
  accepted: string[] | null = null;
  acceptedAt = 0;
  ended = 0;
  running = 0;

  constructor(tenant: string, total: number) {
    this.tenant = tenant;
    this.total = total;
  }

  get over(): boolean {
    return this.accepted !== null && this.ended >= this.accepted.length;
  }

  /** The service's answer to the submission. */
  accept(jobs: string[]): void {
    this.accepted = jobs;
    this.acceptedAt = seconds();
    for (const id of jobs) this.#course(id);
  }

  take(event: Event): void {
    const course = this.#course(event.job);
    const now = seconds();
    if (event.event === "queued") course.queuedAt = now;
    else if (event.event === "in_progress") {
      course.startedAt ??= now;
      course.calledAt = now;
      this.#run(course, true);
    } else if (event.event === "retrying") this.#run(course, false);
    else if (isEnd(event)) this.#end(course, event, now);
  }

  count(end: JobEnd): number {
    return [...this.courses.values()].filter((course) => course.end === end).length;
  }

  done(): Done[] {
    return [...this.courses.values()].filter((course): course is Done => course.startedAt !== null && course.endedAt !== null);
  }

  #course(job: string): Course {
    const fresh: Course = {
      running: false,
      queuedAt: null,
      startedAt: null,
      calledAt: null,
      endedAt: null,
      end: null,
      tokens: 0,
      attempts: 0,
    };
    const course = this.courses.get(job) ?? fresh;
    this.courses.set(job, course);
    return course;
  }

  #run(course: Course, running: boolean): void {
    if (course.running !== running) this.running += running ? 1 : -1;
    course.running = running;
  }

  #end(course: Course, { event, data: { usage, attempts } }: EndEvent, now: number): void {
    this.#run(course, false);
    Object.assign(course, { end: event, endedAt: now, tokens: usage?.total_tokens ?? 0, attempts });
    this.ended++;
  }
}
