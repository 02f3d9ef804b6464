// Package refusal judges the control plane's permissions from outside: for
// every registered operation it asks, with the real AWS SDK, without a
// signature, with a wrong one, as a role without policies, with exactly the
// permissions that the refusals name, and with each of these taken away; about
// what does not exist, and with the resource spelled otherwise than the
// statement that denies it.
//
// It holds no code but tests. What an operation asks for is found out from its
// refusals alone, kept in testdata/asks.txt, and held against AWS's service
// authorization reference, of which testdata/actions.json.gz is the part about
// the services served here. An operation without a fixture stands in
// testdata/unfixtured.txt, which may only become shorter.
//
// After a deliberate change:
//
//	go test ./internal/refusal -update
package refusal
