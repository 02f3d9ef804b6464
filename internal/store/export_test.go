package store

// HoldState keeps a store from showing anything newer until release is called, as
// if it were slow.
func HoldState(s *Store) (release func()) {
	s.apply.Lock()
	return s.apply.Unlock
}

// SplitRecords and AppendRecords are the encoding of segments, for fuzzing.
var (
	SplitRecords  = splitRecords
	AppendRecords = appendRecords
)
