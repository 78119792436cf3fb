/**
 * Idempotency keys of a whole tenant. A job's key is kept in the job's own mailbox; this one, which holds no jobs, makes sure that the
 * same key does not stand for another channel's request as well.
 */
import type { Claim } from "../../schemas/rpc.ts";
import type { Desk } from "./desk.ts";

/** Claims each key for a request; false where it was already claimed for another one. */
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
