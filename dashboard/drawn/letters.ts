/** Dead letters: failed jobs, newest first. */
import { type Letter, letterView, redriven } from "../shown/letters.ts";
import { redriveOrder } from "../shown/orders.ts";
import { confirmOrder, type Desk } from "./dialog.ts";
import { button, byId, Children, el, write, writeOrHide } from "./element.ts";

const PAGE = 20;

/** Returns a function that refreshes the list. If older letters have been loaded, it leaves the list as it is. */
export function letters(desk: Desk): () => void {
  const said = byId("letters-said");
  const older = button("Older", () => load(true));
  let known: Letter[] = [];
  const list = new Children<Letter>(
    byId("letters"),
    ({ id }) => id,
    (letter) => letterItem(letter, () => confirmOrder(redriveOrder(letter), { ...desk, say: (words) => again(words) }, redriven)),
  );
  const again = (words: string) => {
    desk.say(words);
    load();
  };
  byId("letters-levers").append(
    button("Refresh", () => load()),
    older,
  );
  older.hidden = true;
  /** `more`: loads the page after the letters shown, too. */
  async function load(more = false): Promise<void> {
    const last = more ? known.at(-1) : undefined;
    const path = `/v1/dead-letters?limit=${PAGE}${last ? `&after=${last.id}` : ""}`;
    older.disabled = true;
    const answer = await desk.ask({ method: "GET", path });
    older.disabled = false;
    if (!answer.ok) return writeOrHide(said, answer.message);
    const { data, has_more } = answer.value as { data: Letter[]; has_more: boolean };
    known = last ? [...known, ...data] : data;
    list.fill(known);
    older.hidden = !has_more;
    write(said, known.length === 0 ? "None: no job has failed." : "");
    said.hidden = known.length > 0;
  }
  return () => {
    if (known.length > PAGE) list.fill(known);
    else load();
  };
}

function letterItem(letter: Letter, redrive: () => void): { node: Element; fill: (letter: Letter) => void } {
  const [job, of, when, why] = [el("code"), el("span"), el("span", { class: "hint" }), el("p")];
  const again = button("Redrive…", redrive, { "aria-label": `Redrive ${letterView(letter, 0).job}` });
  const node = el("li", {}, el("div", { class: "letter" }, of, when, job, why), again);
  return {
    node,
    fill: (shown) => {
      const view = letterView(shown, Date.now());
      for (const [part, text] of [
        [job, view.job],
        [of, view.of],
        [when, view.when],
        [why, view.why],
      ] as const)
        write(part, text);
    },
  };
}
