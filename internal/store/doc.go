// Package store keeps the control plane's state: documents with a revision, a
// journal in commit order per shard, append-only streams of records, and an
// in-memory indexed copy from which every read is answered.
//
//	Update / Begin ──► Tx ── reads recorded, writes buffered (one home shard)
//	                    │ Commit
//	                    ▼
//	                committer        one goroutine: takes everything that waits
//	                    │            1. check each request's reads, alone
//	                    │            2. one SQL transaction for all that pass
//	                    ▼            3. publish the new state, 4. answer
//	 SQLite file, or PostgreSQL      doc, journal, seq, segment, stream
//	                    │
//	                    ▼
//	View ◄───────── state            persistent trees, swapped atomically:
//	                                 readers never wait for writers
//
// A shard is an account, or an account and a region; its revision numbers are
// its commit order. A Tx may read any shard and writes one: what it read,
// wherever it lives, must be unchanged when it commits, or it fails with
// ErrConflict and nothing is stored. So what was authorised is what is changed.
//
// Document types are declared by the services that own them, as package
// variables (NewKind). Queries are served from indexes in memory that the kind
// declares; there is no SQL per feature and nothing to migrate but documents,
// each of which carries the version of its schema.
//
// SQLite serves one process, which holds a lock on the file; every commit is
// fully synced before it is answered, but for AppendUnsynced, which promises to
// survive the process and no more. PostgreSQL serves several replicas: each
// follows the journal, each write is checked under the lock of the shard's
// sequence row, and each View waits until the replica has seen everything
// committed before it. A replica that cannot confirm this within two seconds
// answers nothing: its Views are empty and carry ErrStale.
//
// Called by the gateway, the services and their loops. The store never
// interprets a document, never decides who may see one, and never encrypts:
// whoever holds a secret seals it first (package seal).
package store
