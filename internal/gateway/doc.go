// Package gateway is the one path that every request takes.
//
// A request arrives, is recognised, authenticated, decoded, authorised, done,
// committed with its audit record, and answered; serve.go reads in that order.
// Services register an operation together with the rule that says what has to
// be asked before it may run (Handle): without a rule it does not compile.
// Listeners that are not AWS APIs (the image registry, the agents' websockets)
// enter the same path with Admit and Invoke, as the principal they serve.
//
// Only gateway and wire know the AWS protocols. The package knows no service.
package gateway
