/** The one job whose text is followed while it is written. */
import { type Event, isEnd, textOf } from "../../index.ts";

type Completion = { choices: { message: { content: string | null } }[] };

export class Shown {
  readonly tenant: string;
  text = "";
  pieces = 0;
  over = false;
  /** Whether the streamed text is exactly the result; null if the job ended before it could be watched. */
  faithful: boolean | null = null;

  constructor(tenant: string) {
    this.tenant = tenant;
  }

  take(event: Event): void {
    if (event.event === "delta") {
      this.pieces++;
      this.text += textOf(event);
    } else if (event.event === "retrying") {
      // The next attempt starts over.
      this.text = "";
      this.pieces = 0;
    } else if (event.event === "completed" && this.pieces > 0) {
      this.faithful = (event.data.response as Completion).choices[0]?.message.content === this.text;
    }
    this.over = isEnd(event);
  }

  /** How it went, in a sentence. */
  verdict(): string {
    if (this.faithful === null) return `${this.tenant}'s answer was complete before it could be watched.`;
    const same = this.faithful ? "identical to the result" : "NOT identical to the result";
    return `${this.tenant}'s answer came in ${this.pieces} pieces, ${same}.`;
  }
}
