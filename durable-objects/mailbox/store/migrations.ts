import type { Migration } from "../../../platform/migrate.ts";

/** Append only. */
export const MIGRATIONS: readonly Migration[] = [
  {
    id: "001_jobs",
    sql: `
      -- A row for each job. Written by submit (once), commit and judge; read by everybody. Times in ms.
      -- A job that runs is 'queued' here: that it runs is the coordinator's to say, and need not be written.
      CREATE TABLE jobs (
        n INTEGER PRIMARY KEY,
        nonce TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'completed', 'failed', 'cancelled', 'expired')),
        accepted_at INTEGER NOT NULL,
        -- What was submitted and never changes: JSON of JobDetails. One column, for each more costs half a microsecond a job.
        details TEXT NOT NULL,
        -- The body as JSON text. Null when it is long: then it is in parts.
        request TEXT,
        -- The fence: calls of an older attempt are refused.
        attempt INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        unknown INTEGER NOT NULL DEFAULT 0,
        started_at INTEGER,
        ended_at INTEGER,
        response TEXT,
        usage TEXT,
        error TEXT,
        -- Events but for the deltas: JSON, [[seq, event, at, data], …]. Null while only 'queued' has happened.
        log TEXT,
        CHECK ((status = 'queued') = (ended_at IS NULL)),
        CHECK (status <> 'completed' OR error IS NULL)
      );

      -- Long texts in pieces, for a row holds 2 MB. Written with the job, read when it is opened or shown.
      CREATE TABLE parts (
        n INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('request', 'response')),
        part INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (n, kind, part)
      ) WITHOUT ROWID;

      -- Chunks that arrived together, of jobs whose deltas somebody watches. Written by append, read by replay.
      CREATE TABLE deltas (
        n INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        chunks TEXT NOT NULL,
        PRIMARY KEY (n, seq)
      ) WITHOUT ROWID;

      -- Written and read by submit.
      CREATE TABLE idempotency (
        key TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        n INTEGER NOT NULL
      ) WITHOUT ROWID;

      -- Keys that a tenant has used, whatever the channel. Written by claim, deleted by retention.
      CREATE TABLE claims (
        key TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        claimed_at INTEGER NOT NULL
      ) WITHOUT ROWID;

      -- Who is told of events: mailboxes that hold sockets. target 0 is the whole channel. Written by follow, and with a job's end for each that is to be
      -- told of it; deleted when the end has arrived. Read at wake.
      CREATE TABLE followers (
        target INTEGER NOT NULL,
        lobby TEXT NOT NULL,
        deltas INTEGER NOT NULL,
        PRIMARY KEY (target, lobby)
      ) WITHOUT ROWID;

      -- What the sockets of this mailbox subscribe to: 'job:<id>' or 'channel:<name>'. Written by the lobby, read at wake.
      CREATE TABLE subscriptions (
        socket TEXT NOT NULL,
        target TEXT NOT NULL,
        deltas INTEGER NOT NULL,
        PRIMARY KEY (socket, target)
      ) WITHOUT ROWID;

      -- Single values: 'cursor', up to which jobs the coordinator has confirmed. Written by submit, read at wake.
      CREATE TABLE marks (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "002_calls",
    sql: `
      -- Jobs that a caller waits for, by the hash of their body: one without a caller is found by a retry. Written by submit (left_at: when it came),
      -- by unfollow (when the caller left) and collect (deleted: the caller has the answer); read by submit and at alarms.
      CREATE TABLE calls (
        body TEXT NOT NULL,
        n INTEGER NOT NULL,
        left_at INTEGER NOT NULL,
        PRIMARY KEY (body, n)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "003_webhooks",
    sql: `
      -- The event of a job that named a webhook. Written with the job's end, after each attempt to deliver it, and to send it again;
      -- read to find what is due. Times in ms.
      CREATE TABLE deliveries (
        n INTEGER PRIMARY KEY,
        url TEXT NOT NULL,
        -- Of the URL. Receivers take turns by it.
        host TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'disabled')),
        -- When the first attempt of the present run was due, and how many of the run failed.
        begun_at INTEGER NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        -- Of all runs.
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER,
        last_at INTEGER,
        last_status INTEGER,
        last_error TEXT,
        CHECK ((status = 'pending') = (next_at IS NOT NULL))
      );
      CREATE INDEX deliveries_due ON deliveries (host, next_at) WHERE next_at IS NOT NULL;

      -- URLs that answered 410. Written by deliveries, deleted by one that arrives and by retention.
      CREATE TABLE gone (
        url TEXT PRIMARY KEY,
        since INTEGER NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "004_delta_rows",
    sql: `
      -- Deltas of jobs that somebody watches, many to a row. Written by append, read by replay, deleted some time after the job's end.
      CREATE TABLE delta_rows (
        n INTEGER NOT NULL,
        -- The seqs that it holds, without a gap.
        first INTEGER NOT NULL,
        last INTEGER NOT NULL CHECK (last >= first),
        attempt INTEGER NOT NULL,
        -- A line for each delta: its chunks as policy/shorthand.ts writes them, from the row's beginning.
        deltas TEXT NOT NULL,
        PRIMARY KEY (n, first)
      ) WITHOUT ROWID;
      INSERT INTO delta_rows SELECT n, seq, seq, attempt, chunks FROM deltas;
      DROP TABLE deltas;
    `,
  },
  {
    id: "005_passes",
    sql: `
      -- Browser tokens by which jobs were submitted that are counted, or that were revoked. Written by submit and revoke, read by both and when a
      -- socket opens, deleted when the token has expired.
      CREATE TABLE passes (
        id TEXT PRIMARY KEY,
        jobs INTEGER NOT NULL DEFAULT 0 CHECK (jobs >= 0),
        revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
        -- ms
        expires_at INTEGER NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "006_lags",
    sql: `
      -- Jobs of which a socket of this mailbox lacks what comes after a seq: its client did not ack what it was sent before. Written by the lobby when a
      -- reader falls behind, deleted when it has caught up or is gone; read at wake.
      CREATE TABLE lags (
        socket TEXT NOT NULL,
        job TEXT NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (socket, job)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "007_consumers",
    sql: `
      -- How far somebody has come in the order of this channel, by a name of theirs. Written when one comes (once) and acks, deleted when it
      -- has not been heard of for the retention time; read at wake and when one comes back. Times in ms.
      CREATE TABLE consumers (
        name TEXT PRIMARY KEY,
        cursor INTEGER NOT NULL,
        seen_at INTEGER NOT NULL
      ) WITHOUT ROWID;

      -- Of a channel that is followed as a consumer: its name, and the place up to which it was told; null while it is told of events as they come.
      ALTER TABLE subscriptions ADD COLUMN consumer TEXT;
      ALTER TABLE subscriptions ADD COLUMN place INTEGER;
    `,
  },
  {
    id: "008_outages",
    sql: `
      -- Lobbies that could not be told of events: since when they may lack some, how often it was tried, and until when they are left alone. Written when
      -- a message failed, deleted when what it had to say has been told; read at wake. Times in ms.
      CREATE TABLE outages (
        lobby TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        failures INTEGER NOT NULL CHECK (failures > 0),
        until INTEGER NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "009_leaves",
    sql: `
      -- How often the lobby had left somebody when it began to follow: an 'unfollow' that is not newer is void.
      ALTER TABLE followers ADD COLUMN leaves INTEGER NOT NULL DEFAULT 0;
    `,
  },
  {
    id: "010_sent",
    sql: `
      -- When the call's answer was sent whole, and when its client gives up waiting if none of it arrives; null while it was not. Such a row is for a
      -- retry of the moment after either, and goes with the next sweep. Times in ms.
      ALTER TABLE calls ADD COLUMN sent_at INTEGER;
      ALTER TABLE calls ADD COLUMN gives_up_at INTEGER;
    `,
  },
  {
    id: "011_had",
    sql: `
      -- Up to which seq a socket may have been told what it lacks: it is told that as it was then, not as one.
      ALTER TABLE lags ADD COLUMN had INTEGER NOT NULL DEFAULT 0;
    `,
  },
  {
    id: "012_promised",
    sql: `
      -- Until when (ms) the call's job lives on whoever goes, as its caller was told that was sent away; null: nobody was.
      ALTER TABLE calls ADD COLUMN promised_until INTEGER;
      -- It was a left_at that lies ahead; of all others this is over, and says nothing.
      UPDATE calls SET promised_until = left_at;
    `,
  },
];
