/**
 * Idempotency keys of a whole tenant. A job's key is kept in its own mailbox; that the same key does not serve another channel's
 * request as well is kept here, in a mailbox that holds no jobs.
 */
import type { Claim } from "../../schemas/rpc.ts";
import type { Desk } from "./desk.ts";

/** Claims each key for a request; false where it was claimed for another one. */
export function claim(desk: Desk, claims: Claim[]): boolean[] {
  const { now, settings, store } = desk;
  desk.wakeBy(now() + settings.retentionMs);
  return store.sql.transaction(() =>
    claims.map(({ key, fingerprint }) => {
      const known = store.claim(key);
      if (known === null) store.addClaim(key, fingerprint, now());
      return known === null || known === fingerprint;
    }),
  );
}
