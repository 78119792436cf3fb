/**
 * Return addresses by number: a ticket names its mailbox by its number. There may be millions of channels over time, so memory holds only the addresses
 * used recently, and storage holds all. Law: a number stands for one address for ever, and is written in the commit of the first ticket that uses it.
 */
import type { MailboxAddress } from "../../schemas/rpc.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** Addresses kept in memory, some two hundred bytes each; beyond that all are dropped, and read again when needed. */
const KEPT = 20_000;

export class Addresses {
  readonly #store: CoordinatorStore;
  readonly #kept: number;
  readonly #byNumber = new Map<number, MailboxAddress>();
  readonly #numbers = new Map<string, number>();
  /** Not written yet. */
  readonly #fresh: number[] = [];
  #next: number;

  constructor(store: CoordinatorStore, kept = KEPT) {
    this.#store = store;
    this.#kept = kept;
    this.#next = store.lastMailbox() + 1;
  }

  /** @throws if no mailbox has that number. */
  of(number: number): MailboxAddress {
    const known = this.#byNumber.get(number);
    if (known) return known;
    const address = this.#store.mailbox(number);
    if (!address) throw new Error(`no mailbox ${number}`);
    this.#keep(number, address);
    return address;
  }

  /** The number of an address; assigns a new one if it has none. */
  numberOf(address: MailboxAddress): number {
    const known = this.#numbers.get(nameOf(address));
    if (known !== undefined) return known;
    const stored = this.#store.mailboxNumber(address);
    const number = stored ?? this.#next++;
    if (stored === null) this.#fresh.push(number);
    this.#keep(number, address);
    return number;
  }

  write(store: CoordinatorStore): void {
    if (this.#fresh.length > 0) for (const number of this.#fresh.splice(0)) store.addMailbox(number, this.#byNumber.get(number)!);
    if (this.#byNumber.size <= this.#kept) return;
    this.#byNumber.clear();
    this.#numbers.clear();
  }

  #keep(number: number, address: MailboxAddress): void {
    this.#byNumber.set(number, address);
    this.#numbers.set(nameOf(address), number);
  }
}

function nameOf({ channel, tenant }: MailboxAddress): string {
  return `${tenant}/${channel}`;
}
