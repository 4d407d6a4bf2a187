-- The log. `leaf` is exactly what is hashed; payloads sit apart and may be erased.
CREATE TABLE entries (
  idx       INTEGER PRIMARY KEY,
  kind      TEXT NOT NULL,
  task      TEXT NOT NULL,
  call      TEXT NOT NULL,
  leaf      BLOB NOT NULL,
  leaf_hash BLOB NOT NULL
) STRICT;

-- Which entries are a task's, up to the entry `filing.upto`; those after it are found by reading them. They are filed
-- many at once: an index kept with every entry would write a page of its own for each, four times the entry itself.
CREATE TABLE filed (
  task TEXT NOT NULL,
  idx  INTEGER NOT NULL,
  PRIMARY KEY (task, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE filing (upto INTEGER NOT NULL) STRICT;
INSERT INTO filing VALUES (0);

CREATE TABLE payloads (
  entry INTEGER NOT NULL,
  name  TEXT NOT NULL,
  salt  BLOB NOT NULL,
  body  BLOB NOT NULL,
  PRIMARY KEY (entry, name)
) STRICT, WITHOUT ROWID;

-- Calls whose intent is durable and whose outcome is not: what the sweep at start-up reads.
CREATE TABLE open_calls (
  call   TEXT PRIMARY KEY,
  task   TEXT NOT NULL,
  intent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Signed tree heads, each with the frontier that lets a start continue from it.
CREATE TABLE checkpoints (
  size     INTEGER PRIMARY KEY,
  root     BLOB NOT NULL,
  note     TEXT NOT NULL,
  frontier BLOB NOT NULL
) STRICT;

-- Controls: mutable values that decisions read, by name, each with a version that only rises.
CREATE TABLE versions (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL,
  says  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every bundle that ever ran, so that any decision can be replayed.
CREATE TABLE bundles (
  digest TEXT NOT NULL,
  path   TEXT NOT NULL,
  body   BLOB NOT NULL,
  PRIMARY KEY (digest, path)
) STRICT, WITHOUT ROWID;

-- Which bundle ran from when, deployed or rolled back by whom. `number` is the version of the control `release`.
CREATE TABLE releases (
  number INTEGER PRIMARY KEY,
  bundle TEXT NOT NULL,
  at     TEXT NOT NULL,
  person TEXT NOT NULL,
  how    TEXT NOT NULL
) STRICT;

-- `body` is the task as canonical JSON; the columns beside it only find it.
CREATE TABLE tasks (
  id       TEXT PRIMARY KEY,
  opened   TEXT NOT NULL,
  expires  TEXT NOT NULL,
  closed   INTEGER NOT NULL DEFAULT 0,
  body     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_expiry ON tasks (expires);

-- Held calls. `body` is the approval as canonical JSON; the columns beside it only find it.
CREATE TABLE approvals (
  id    TEXT PRIMARY KEY,
  task  TEXT NOT NULL,
  agent TEXT NOT NULL,
  state TEXT NOT NULL,
  call  TEXT NOT NULL,
  body  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_task ON approvals (task);

-- What was counted in each window of a cap. Calls under way are counted in memory: none outlives its process.
CREATE TABLE counters (
  key    TEXT PRIMARY KEY,
  used   INTEGER NOT NULL,
  resets TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What was done before, as decisions are told of it. Without `resets` it counts for ever.
CREATE TABLE tallies (
  key    TEXT PRIMARY KEY,
  used   INTEGER NOT NULL,
  resets TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX tallies_by_end ON tallies (resets) WHERE resets IS NOT NULL;

-- Keyed hashes of values that were written and are not to be trusted. None is ever taken away.
CREATE TABLE marks (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
