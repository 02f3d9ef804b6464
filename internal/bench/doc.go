// Package bench measures Remit as its users feel it, and holds what can be
// held on any machine: ratios of two things measured in one run.
//
//	make bench
//
// Absolute figures are printed with the target they were made for; they depend
// on the machine and fail nothing. A ratio compares with something that costs
// the same everywhere (a trivial net/http handler, docker run), in interleaved
// rounds, and the median of the rounds' ratios must keep its bound: load on the
// machine slows both sides of a round.
//
// The package has tests only, and nothing imports it.
package bench
