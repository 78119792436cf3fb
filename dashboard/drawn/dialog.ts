/** The page's only dialog: what an order will do, and what the service answered. */
import type { Answer } from "../fetched/ask.ts";
import type { Forecast } from "../shown/forecast.ts";
import type { Order, Request } from "../shown/orders.ts";
import { button, byId, el, write, writeOrHide } from "./element.ts";

/** Where orders are given. `say` shows words below everything else, for a while. */
export type Desk = { ask: (request: Request) => Promise<Answer>; say: (words: string) => void };
/** What to say about an answer, which may be a success and yet report a failure. */
type Judge = (value: unknown) => { ok: boolean; words: string };

const dialog = byId<HTMLDialogElement>("dialog");
const title = byId("dialog-title");
const body = byId("dialog-body");
const fault = byId("dialog-fault");
const actions = byId("dialog-actions");

export function openDialog(heading: string, content: Node[], buttons: HTMLButtonElement[]): void {
  write(title, heading);
  writeOrHide(fault, null);
  body.replaceChildren(...content);
  const cancel = button("Cancel", closeDialog, { class: "quiet" });
  actions.replaceChildren(...buttons, cancel);
  if (!dialog.open) dialog.showModal();
  // A dialog without a field is a question: a key pressed too early answers no.
  (body.querySelector("input") ?? cancel).focus();
}

export function closeDialog(): void {
  dialog.close();
}

/** Shows what is wrong, in the open dialog. */
export function complain(words: string): void {
  writeOrHide(fault, words);
}

/** Says what an order will do, and does it once that is confirmed. The dialog stays open until it has worked. */
export function confirmOrder(order: Order, desk: Desk, judge: Judge = () => ({ ok: true, words: order.done })): void {
  const confirm = button(
    order.verb,
    async () => {
      complain("");
      fault.hidden = true;
      confirm.disabled = true;
      write(confirm, "Working…");
      const answer = await desk.ask(order.request);
      // If it was closed meanwhile, or shows something else by now, the answer appears below the page instead.
      const here = dialog.open && actions.contains(confirm);
      const end = answer.ok ? judge(answer.value) : { ok: false, words: answer.message };
      if (here && end.ok) closeDialog();
      if (here && !end.ok) {
        complain(end.words);
        confirm.disabled = false;
        write(confirm, "Try again");
      } else desk.say(end.words);
    },
    { class: "strong" },
  );
  const says = el("ul", {}, ...order.says.map((sentence) => el("li", {}, sentence)));
  openDialog(order.title, [says], [confirm]);
  if (order.forecast) says.append(foretold(order.forecast, desk));
}

function foretold({ request, words }: Forecast, desk: Desk): HTMLLIElement {
  const node = el("li", { role: "status" }, "Predicting the effect on the waiting jobs…");
  desk.ask(request).then((answer) => {
    write(node, answer.ok ? words(answer.value) : `The effect on the waiting jobs is not known: ${answer.message}`);
  });
  return node;
}
