// Package acs is the host's line to the control plane: registration, the
// websocket on which work arrives (ACS) and the one on which measurements
// leave (TCS). It speaks the protocol of the stock amazon-ecs-agent, so either
// end can be exchanged for Amazon's.
//
//	Register ---> DiscoverPollEndpoint ---> Session.Run   work down, acks up
//	                                   \--> Telemetry.Run metrics up, acks down
//
// The agent (package agent) is the only caller. A Session hands what it decoded
// to a [Handler], which is the engine; it answers for itself only heartbeats
// and acknowledgements.
//
// The package never starts a container, never keeps a role's keys, never asks
// for credentials (they are only ever pushed) and never trusts a frame: each is
// bounded in size, decoded to typed messages, and dropped without an answer
// when a required field is missing, so that the server sends it again.
package acs
