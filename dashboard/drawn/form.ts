/** The form in which an operator sets limits and weights; its values are confirmed before they are applied. */
import { FIELDS, type Field, type Kind, readFields, settingsOf, type Values, wordOf } from "../shown/fields.ts";
import { resetOrder, setOrder } from "../shown/orders.ts";
import { name } from "../shown/words.ts";
import { complain, confirmOrder, type Desk, openDialog } from "./dialog.ts";
import { button, el } from "./element.ts";

/** `values`: what is in force. `overrides`: the part of it that operators set. */
type Tuned = { kind: Kind; id: string; values: Values; overrides: Values };

const FORM = "dialog-form";

/** `above`: what else the dialog shows, above the form. */
export function openForm({ id, kind, overrides, values }: Tuned, desk: Desk, above: Node[] = []): void {
  const fields = FIELDS[kind];
  const inputs = fields.map((field) => inputOf(field, values, overrides));
  const form = el("form", { id: FORM, class: "fields", novalidate: "" }, ...inputs.map(({ label }) => label));
  const read = () => {
    const texts = Object.fromEntries(inputs.map(({ input, key }) => [key, input.value]));
    const said = readFields(fields, texts);
    for (const { input, key } of inputs) input.toggleAttribute("aria-invalid", !said.ok && said.field === key);
    if (!said.ok) {
      inputs.find(({ key }) => key === said.field)?.input.focus();
      return complain(said.complaint);
    }
    if (Object.keys(said.set).length === 0) return complain("Enter at least one value: nothing would change.");
    confirmOrder(setOrder(kind, id, values, said.set), desk);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
  const hint = el("p", { class: "hint" }, "Empty fields keep their value. The current values are shown in grey.");
  // A submit button, so that Enter in a field presses it.
  const buttons = [el("button", { type: "submit", form: FORM, class: "strong" }, "Set…")];
  const settings = settingsOf(fields, overrides);
  if (settings !== null) buttons.push(button("Reset…", () => confirmOrder(resetOrder(kind, id, settings), desk)));
  openDialog(`${kind === "pool" ? "Limits of pool" : "Tenant"} ${name(id)}`, [...above, form, hint], buttons);
}

type Input = { key: string; label: HTMLLabelElement; input: HTMLInputElement };

function inputOf(field: Field, values: Values, overrides: Values): Input {
  const { key, label, none, whole } = field;
  const value = values[key];
  const input = el("input", {
    name: key,
    type: "text",
    inputmode: none === null ? (whole ? "numeric" : "decimal") : "text",
    autocomplete: "off",
    placeholder: value === undefined ? "" : wordOf(field, value),
  });
  const set = key in overrides ? [" ", el("span", { class: "mark" }, "set")] : [];
  const or = none === null ? [] : [" ", el("span", { class: "hint" }, `or "${none}"`)];
  return { key, input, label: el("label", {}, el("span", {}, label, ...or, ...set), input) };
}
