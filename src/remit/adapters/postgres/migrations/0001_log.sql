-- The log's right edge, in one row, which every writing transaction locks first: that is what puts them in an order.
-- `frontier` are the hashes of the Merkle tree's complete subtrees, largest first, joined.
CREATE TABLE log (
  one      BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
  size     BIGINT NOT NULL,
  frontier BYTEA NOT NULL
);
INSERT INTO log (size, frontier) VALUES (0, '');

-- `leaf` is exactly what is hashed; payloads sit apart and may be erased.
CREATE TABLE entries (
  idx       BIGINT PRIMARY KEY,
  kind      TEXT NOT NULL,
  task      TEXT NOT NULL,
  call      TEXT NOT NULL,
  leaf      BYTEA NOT NULL,
  leaf_hash BYTEA NOT NULL
);
CREATE INDEX entries_by_task ON entries (task, idx) WHERE task <> '';
-- For the sweep: which calls the log has ended.
CREATE INDEX entries_that_end ON entries (call) WHERE kind IN ('outcome', 'unknown');

CREATE TABLE payloads (
  entry BIGINT NOT NULL,
  name  TEXT COLLATE "C" NOT NULL,
  salt  BYTEA NOT NULL,
  body  BYTEA NOT NULL,
  PRIMARY KEY (entry, name)
);

-- Calls whose intent is durable and whose outcome is not: what the sweep at start-up reads.
CREATE TABLE open_calls (
  call   TEXT PRIMARY KEY,
  task   TEXT NOT NULL,
  intent BIGINT NOT NULL
);

-- What each open call has counted, so that it can be given back. Where `added` is set, that much in a tally; elsewhere
-- one under a cap. Under a cap those without `resets` count the call as under way: the rows themselves are the count,
-- so it holds for every node, and it goes with the call.
CREATE TABLE counted (
  call   TEXT NOT NULL,
  nth    INTEGER NOT NULL,
  key    TEXT NOT NULL,
  resets TIMESTAMPTZ,
  added  BIGINT,
  PRIMARY KEY (call, nth)
);
CREATE INDEX counted_under_way ON counted (key) WHERE resets IS NULL AND added IS NULL;

-- What was counted in each window of a cap.
CREATE TABLE counters (
  key    TEXT PRIMARY KEY,
  used   BIGINT NOT NULL,
  resets TIMESTAMPTZ NOT NULL
);
CREATE INDEX counters_by_end ON counters (resets);

-- What was done before, as decisions are told of it. Without `resets` it counts for ever.
CREATE TABLE tallies (
  key    TEXT PRIMARY KEY,
  used   BIGINT NOT NULL,
  resets TIMESTAMPTZ
);
CREATE INDEX tallies_by_end ON tallies (resets) WHERE resets IS NOT NULL;

-- Keyed hashes of values that were written and are not to be trusted. None is ever taken away.
CREATE TABLE marks (hash BYTEA PRIMARY KEY);

-- Signed tree heads, each with the frontier that lets a start continue from it.
CREATE TABLE checkpoints (
  size     BIGINT PRIMARY KEY,
  root     BYTEA NOT NULL,
  note     TEXT NOT NULL,
  frontier BYTEA NOT NULL
);

-- Controls: mutable values that decisions read, by name, each with a version that only rises. `says` is UTF-8 in bytes:
-- a person's words may hold U+0000, which TEXT refuses, and a stop must not fail over its reason.
CREATE TABLE versions (
  name  TEXT PRIMARY KEY,
  value BIGINT NOT NULL,
  says  BYTEA NOT NULL
);

-- Every bundle that ever ran, so that any decision can be replayed.
CREATE TABLE bundles (
  digest TEXT NOT NULL,
  path   TEXT COLLATE "C" NOT NULL,
  body   BYTEA NOT NULL,
  PRIMARY KEY (digest, path)
);

-- Which bundle ran from when, deployed or rolled back by whom. `number` is the version of the control `release`.
CREATE TABLE releases (
  number BIGINT PRIMARY KEY,
  bundle TEXT NOT NULL,
  at     TIMESTAMPTZ NOT NULL,
  person TEXT NOT NULL,
  how    TEXT NOT NULL
);

-- `body` is the task as canonical JSON, in bytes so that it comes back exactly; the columns beside it only find it.
CREATE TABLE tasks (
  id      TEXT PRIMARY KEY,
  opened  TIMESTAMPTZ NOT NULL,
  expires TIMESTAMPTZ NOT NULL,
  closed  BOOLEAN NOT NULL DEFAULT FALSE,
  body    BYTEA NOT NULL
);
CREATE INDEX tasks_by_expiry ON tasks (expires) WHERE NOT closed;
CREATE INDEX tasks_by_opening ON tasks (opened);

-- Held calls. `body` is the approval as canonical JSON; the columns beside it only find it.
CREATE TABLE approvals (
  id    TEXT COLLATE "C" PRIMARY KEY,
  task  TEXT NOT NULL,
  agent TEXT NOT NULL,
  state TEXT NOT NULL,
  call  TEXT NOT NULL,
  body  BYTEA NOT NULL
);
CREATE INDEX approvals_by_task ON approvals (task);
