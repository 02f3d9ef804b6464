package store

// Dirty reports whether the Tx has buffered a change to a document. One that has
// not needs no commit: what it read was one consistent picture.
func (tx *Tx) Dirty() bool { return len(tx.writes) > 0 }
