// SPDX-License-Identifier: Apache-2.0

// Package api holds what AWS promises: the vocabulary in which services,
// operations, shapes, times and errors are described, and, in its
// sub-packages (ecsapi, iamapi, ...), the descriptions themselves and the Go
// types generated from them by tools/awsgen.
//
// Everybody imports it: the gateway and the service handlers for the types,
// package wire for the tables that tell it how a shape is spelled on the
// network, the agent for the shapes of the AWS API it calls. Package api never
// reads or writes bytes of an AWS protocol, never checks a constraint and knows
// no service by name.
//
// The generated tables are static data. A program that links every service
// pays nothing for them at start, and there are no package initialisers beyond
// one assignment per service.
package api
