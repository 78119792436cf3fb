/** A tenant's dialog: what it may use, and what can be done with it. It may have no jobs at all. */
import type { TenantState } from "../../schemas/tuning.ts";
import type { Answer } from "../fetched/ask.ts";
import { count, name } from "../shown/words.ts";
import { type Desk, openDialog } from "./dialog.ts";
import { button, el, writeOrHide } from "./element.ts";
import { figures } from "./figures.ts";
import { openForm } from "./form.ts";

type TenantActs = Record<"pause" | "drain" | "resume", (tenant: string) => void>;
/** `held`: what operators did to it, in words. */
type Chosen = { id: string; held: string | null };

/** `asked`: the tenant as the service shows it. */
export async function openTenant({ held, id }: Chosen, asked: Promise<Answer>, acts: TenantActs, desk: Desk): Promise<void> {
  const waiting = el("p", {}, "Asking the service…");
  openDialog(`Tenant ${name(id)}`, [waiting], []);
  const answer = await asked;
  // The dialog was closed meanwhile, or is used for something else.
  if (!waiting.isConnected || !waiting.closest("dialog")?.open) return;
  if (!answer.ok) {
    waiting.textContent = answer.message;
    waiting.setAttribute("role", "alert");
    return;
  }
  const { max_queued, overrides, queued, rpm, tpm, weight } = answer.value as TenantState;
  const numbers = el("dl", { class: "figures" });
  figures(numbers)([{ label: "Unfinished jobs in all pools", value: count(queued) }]);
  const words = el("p", { class: "overrides" });
  writeOrHide(words, held);
  const levers = (["Pause", "Drain", "Resume"] as const).map((label) =>
    button(`${label}…`, () => acts[label.toLowerCase() as keyof TenantActs](id)),
  );
  const above = [numbers, words, el("div", { class: "levers" }, ...levers)];
  openForm({ kind: "tenant", id, values: { weight, rpm, tpm, max_queued }, overrides }, desk, above);
}
