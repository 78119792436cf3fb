/** The one job whose text is followed while it is written. */
import type { JobEvent } from "../../../schemas/event.ts";
import type { Job } from "../../../schemas/job.ts";

type Chunk = { choices: { delta: { content?: string | null } }[] };
type Completion = { choices: { message: { content: string | null } }[] };

export class Shown {
  readonly tenant: string;
  readonly job: string;
  text = "";
  pieces = 0;
  /** Whether the text as it was streamed is the result, to the letter; null if the job ended before it could be watched. */
  faithful: boolean | null = null;

  constructor(tenant: string, job: string) {
    this.tenant = tenant;
    this.job = job;
  }

  take({ event, data }: JobEvent): void {
    if (event === "delta") {
      this.pieces++;
      for (const { choices } of (data as { chunks: Chunk[] }).chunks) this.text += choices[0]?.delta.content ?? "";
    } else if (event === "retrying") {
      // The next attempt begins anew.
      this.text = "";
      this.pieces = 0;
    } else if (event === "completed" && this.pieces > 0) {
      this.faithful = ((data as Job).response as Completion).choices[0]?.message.content === this.text;
    }
  }

  /** How it went, in a sentence. */
  verdict(): string {
    if (this.faithful === null) return `${this.tenant}'s answer was there before it could be watched.`;
    const same = this.faithful ? "the same as the result, to the letter" : "NOT the same as the result";
    return `${this.tenant}'s answer came in ${this.pieces} pieces, ${same}.`;
  }
}
