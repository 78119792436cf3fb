/** The page's one dialog: what is to be done, what will happen, and what the service said to it. */
import type { Answer } from "../fetched/ask.ts";
import type { Forecast } from "../shown/forecast.ts";
import type { Order, Request } from "../shown/orders.ts";
import { button, byId, el, write, writeOrHide } from "./element.ts";

/** Where orders are given. `say`: below all, for a while. */
export type Desk = { ask: (request: Request) => Promise<Answer>; say: (words: string) => void };
/** What is to be said of an answer, which may be good in itself and yet tell of a failure. */
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
  // What has no field is a question: a key that is pressed too early answers no.
  (body.querySelector("input") ?? cancel).focus();
}

export function closeDialog(): void {
  dialog.close();
}

/** What is wrong, in the dialog that is open. */
export function complain(words: string): void {
  writeOrHide(fault, words);
}

/** Says what an order will do, and does it once that is confirmed. The dialog stays as long as it has not worked. */
export function confirmOrder(order: Order, desk: Desk, judge: Judge = () => ({ ok: true, words: order.done })): void {
  const confirm = button(
    order.verb,
    async () => {
      complain("");
      fault.hidden = true;
      confirm.disabled = true;
      write(confirm, "Working…");
      const answer = await desk.ask(order.request);
      // Who closed it meanwhile, or asks for something else by now, is told below.
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
  const node = el("li", { role: "status" }, "Reckoning what it does to the jobs that wait…");
  desk.ask(request).then((answer) => {
    write(node, answer.ok ? words(answer.value) : `What it does to the jobs that wait is not known: ${answer.message}`);
  });
  return node;
}
