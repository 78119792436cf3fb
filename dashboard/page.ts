/** The operators' page: asks for a key, then shows the queue as it changes and controls its levers. */
import type { Lever, QueueState, Scope } from "../schemas/queue.ts";
import { closeDialog, confirmOrder, type Desk } from "./drawn/dialog.ts";
import { button, byId, write, writeOrHide } from "./drawn/element.ts";
import { openForm } from "./drawn/form.ts";
import { letters } from "./drawn/letters.ts";
import { queueDrawing } from "./drawn/queue.ts";
import { openTenant } from "./drawn/tenant.ts";
import { ask } from "./fetched/ask.ts";
import { follow } from "./fetched/follow.ts";
import { forgetKey, keepKey, storedKey } from "./fetched/key.ts";
import { type Connection, connectionView, refusalOf } from "./shown/connection.ts";
import { getTenant, leverOrder, resetOrder } from "./shown/orders.ts";
import { heldTenants } from "./shown/tenants.ts";

/** After this long out of sight, the page stops asking: each reader costs the coordinator a look per second. */
const HIDDEN_MS = 60_000;
const LETTERS_MS = 30_000;
/** How long the result of an order is shown. */
const SAID_MS = 10_000;

let key: string | null = storedKey();
let connection: Connection = { state: "connecting" };
/** `heardAt`, ms: when the state came, or was last known to hold still: nothing is sent while nothing changes. */
let known: { state: QueueState; heardAt: number } | null = null;
let following: AbortController | null = null;

const desk: Desk = {
  ask: async (request) => {
    const asking = key;
    const answer = await ask(asking ?? "", request);
    // A lever answers with the resulting queue, so what was done shows at once.
    if (answer.ok && (answer.value as { object?: string }).object === "queue" && key === asking) hear(answer.value as QueueState);
    return answer;
  },
  say,
};
const pull = (lever: Lever, scope: Scope) => known && confirmOrder(leverOrder(lever, scope, known.state), desk);
const leversOf = (kind: "pool" | "tenant") => ({
  pause: (id: string) => void pull("pause", { kind, id }),
  drain: (id: string) => void pull("drain", { kind, id }),
  resume: (id: string) => void pull("resume", { kind, id }),
});
const manage = (tenant: string) => {
  const held = known && heldTenants(known.state).find(({ id }) => id === tenant);
  void openTenant({ id: tenant, held: held?.words ?? null }, desk.ask(getTenant(tenant)), leversOf("tenant"), desk);
};
const drawQueue = queueDrawing({
  ...leversOf("pool"),
  limits,
  reset: (id, settings) => confirmOrder(resetOrder("pool", id, settings), desk),
  tenant: manage,
});
const loadLetters = letters(desk);

function limits(id: string): void {
  const pool = known?.state.pools.find((each) => each.id === id);
  if (!pool) return;
  const { requests, tokens } = pool.burst_seconds;
  // Learned values may differ; the one that can be set applies to both.
  const burst_seconds = requests === tokens ? requests : undefined;
  openForm({ kind: "pool", id, values: { ...pool.limits, burst_seconds }, overrides: pool.overrides }, desk);
}

let saying: ReturnType<typeof setTimeout> | undefined;

function say(words: string): void {
  write(byId("said"), words);
  clearTimeout(saying);
  saying = setTimeout(() => write(byId("said"), ""), SAID_MS);
}

function hear(state: QueueState): void {
  known = { state, heardAt: Date.now() };
  draw();
}

function draw(): void {
  const now = Date.now();
  const isFresh = connection.state === "live";
  const view = connectionView(connection, known?.heardAt ?? null, now);
  byId("connection").dataset.tone = view.tone;
  write(byId("connection-said"), view.said);
  write(byId("connection-age"), view.age);
  byId("desk").classList.toggle("stale", !isFresh);
  // Nobody knows whether an old state still holds, so it is shown as of when it came.
  if (known) drawQueue(known.state, isFresh, isFresh ? now : known.heardAt);
}

/** Shows the door, or what is behind it. */
function enter(open: boolean): void {
  byId("door").hidden = open;
  byId("desk").hidden = !open;
  byId("connection").hidden = !open;
  byId("forget").hidden = !open;
}

function listen(): void {
  if (key === null || following) return;
  const own = new AbortController();
  following = own;
  const heard = () => {
    if (known) known.heardAt = Date.now();
  };
  const told = { connection: connect, state: hear, heard };
  follow(key, told, own.signal, { fetch: (...call) => fetch(...call), random: Math.random }).finally(() => {
    if (following === own) following = null;
  });
}

function connect(now: Connection): void {
  const first = now.state === "live" && connection.state !== "live";
  connection = now;
  if (now.state === "refused") {
    leave(refusalOf(now));
    return;
  }
  if (first) {
    enter(true);
    loadLetters();
  }
  draw();
}

/** Back to the door; `words`: why. */
function leave(words: string | null): void {
  following?.abort();
  following = null;
  known = null;
  key = null;
  forgetKey();
  closeDialog();
  document.title = "Sluice";
  enter(false);
  writeOrHide(byId("door-fault"), words);
  byId("door-key").focus();
}

function knock(event: SubmitEvent): void {
  event.preventDefault();
  const field = byId<HTMLInputElement>("door-key");
  const given = field.value.trim();
  // A text that no header can hold is not a key.
  const isKey = /^[\x21-\x7e]+$/.test(given);
  writeOrHide(byId("door-fault"), isKey ? null : refusalOf({ status: 401, message: "" }));
  if (!isKey) return;
  field.value = "";
  key = given;
  keepKey(given);
  enter(true);
  listen();
}

let resting: ReturnType<typeof setTimeout> | undefined;

function rest(): void {
  clearTimeout(resting);
  if (document.hidden) resting = setTimeout(sleep, HIDDEN_MS);
  else listen();
}

function sleep(): void {
  if (!following) return;
  following.abort();
  following = null;
  connect({ state: "resting" });
}

byId("door").addEventListener("submit", (event) => knock(event as SubmitEvent));
// Without a key, the page must be empty.
byId("forget").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
byId("all-levers").append(
  button("Pause…", () => pull("pause", { kind: "all" }), { "aria-label": "Pause everything" }),
  button("Drain…", () => pull("drain", { kind: "all" }), { "aria-label": "Drain everything" }),
  button("Resume…", () => pull("resume", { kind: "all" }), { "aria-label": "Resume everything" }),
);
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const tenant = byId<HTMLInputElement>("find-tenant").value.trim();
  if (tenant !== "") manage(tenant);
});
document.addEventListener("visibilitychange", rest);
// Waits grow and probes come nearer even while nothing is sent.
setInterval(() => byId("desk").hidden || draw(), 1_000);
setInterval(() => connection.state === "live" && loadLetters(), LETTERS_MS);
enter(key !== null);
if (key === null) byId("door-key").focus();
listen();
// The page may have been opened in a background tab.
rest();
