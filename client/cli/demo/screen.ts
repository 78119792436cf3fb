/** What the user sees while jobs run: bars in a terminal, elsewhere a plain line now and then. */
import { stripVTControlCharacters } from "node:util";
import { MultiBar, type SingleBar } from "cli-progress";

export type View = {
  seconds: number;
  tenants: { name: string; total: number; done: number; running: number; last: string }[];
  /** Its tail is shown while it grows; empty if there is none. */
  text: { of: string; text: string };
};

export type Screen = {
  show: (view: View) => void;
  close: () => void;
};

export function openScreen(): Screen {
  return process.stdout.isTTY ? bars() : lines();
}

const FORMAT = "  {name} {bar} {done} done  {running} in flight  last job: {last}";
const FRAMES_PER_SECOND = 12;

function bars(): Screen {
  const multi = new MultiBar({
    format: FORMAT,
    stream: process.stdout,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    fps: FRAMES_PER_SECOND,
    hideCursor: true,
    emptyOnZero: true,
    // The demo ends in its own way.
    gracefulExit: false,
  });
  const shown = new Map<string, SingleBar>();
  const bar = (name: string, total: number, format: string) => {
    const known = shown.get(name) ?? multi.create(total, 0, {}, { format });
    shown.set(name, known);
    return known;
  };
  return {
    show: ({ tenants, text }) => {
      for (const { name, total, done, running, last } of tenants) {
        const payload = { name: name.padEnd(5), done: ratio(done, total), running: pad(running, 3), last };
        bar(name, total, FORMAT).update(done, payload);
      }
      bar("the text", 1, "  {text}").update(0, { text: tail(`${text.of} `, text.text) });
    },
    close: () => multi.stop(),
  };
}

/** As much of the end of a text as fits on the line, without anything that could move the cursor. */
function tail(before: string, text: string): string {
  const room = (process.stdout.columns || 80) - before.length - 4;
  const plain = stripVTControlCharacters(text).replace(/[\p{Cc}\s]+/gu, " ");
  return before + (plain.length > room ? `…${plain.slice(1 - room)}` : plain);
}

const SECONDS_A_LINE = 3;

function lines(): Screen {
  let due = 0;
  return {
    show: ({ seconds, tenants, text }) => {
      if (seconds < due) return;
      due = seconds + SECONDS_A_LINE;
      const parts = tenants.map(
        ({ name, total, done, running, last }) => `${name} ${ratio(done, total)} done, ${running} in flight, last job: ${last}`,
      );
      const written = text.text === "" ? [] : [`${text.of} ${text.text.length} characters`];
      console.log(`${seconds.toFixed(1).padStart(6)} s  ${[...parts, ...written].join("; ")}`);
    },
    close: () => {},
  };
}

function ratio(done: number, total: number): string {
  return `${pad(done, String(total).length)}/${total}`;
}

function pad(number: number, width: number): string {
  return String(number).padStart(width);
}
