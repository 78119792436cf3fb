/** Gives a channel a long history without running its jobs one by one. */
import { inside, mailbox } from "./service.ts";

/** Adds `times` copies of the first job of alice's channel `c`. Each takes the next three places; all are shifted by `apart` numbers and places. */
export function copyFirstJob(times: number, apart = 0): Promise<void> {
  return inside(mailbox("alice", "c"), (_, { storage }) => {
    const row = storage.sql.exec("SELECT * FROM jobs ORDER BY n LIMIT 1").one() as Record<string, string | number | null>;
    const columns = Object.keys(row);
    const log = JSON.parse(row.log as string) as unknown[][];
    const details = JSON.parse(row.details as string) as Record<string, unknown>;
    const insert = `INSERT INTO jobs (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`;
    storage.transactionSync(() => {
      for (let index = 1; index <= times; index++) {
        const moved = log.map(([seq, event, at, data, place]) => [seq, event, at, data, (place as number) + 3 * index + apart]);
        const values = {
          ...row,
          n: (row.n as number) + index + apart,
          log: JSON.stringify(moved),
          details: JSON.stringify({ ...details, place: (details.place as number) + 3 * index + apart }),
        };
        storage.sql.exec(insert, ...columns.map((column) => (values as Record<string, string | number | null>)[column]!));
      }
      storage.sql.exec("UPDATE marks SET value = ? WHERE name = 'order'", 3 * times + 10_000);
    });
  });
}
