// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"maps"
)

// Fault says whose fault an error is.
type Fault uint8

// The faults.
const (
	FaultClient Fault = iota + 1 // the caller's; trying again unchanged is useless
	FaultServer                  // ours
)

// Error is the one error type that crosses packages. It is made by the
// constructors generated from the models (ecsapi.ClusterNotFoundException) and,
// for what all services share but spell differently, by the constructors of
// ideas (AccessDenied, Throttling, ...), which package wire spells.
type Error struct {
	Idea    Idea           // 0 for errors of a model
	Code    string         // as clients see it; for an idea, the idea's name
	Message string         // for the caller; never holds secrets
	Status  int            // HTTP status; for an idea 0: wire knows
	Fault   Fault          //
	Fields  map[string]any // further members of the error shape, by member name

	cause error
}

// Error returns code and message. It does not show the cause, which is for the
// log of the operator and not for callers.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause, if one was given.
func (e *Error) Unwrap() error { return e.cause }

// With returns a copy of the error with a further member set. The value is one
// that encoding/json can write.
func (e *Error) With(member string, value any) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	if c.Fields == nil {
		c.Fields = make(map[string]any, 1)
	}
	c.Fields[member] = value
	return &c
}

// Because returns a copy of the error that wraps cause. Callers of the API do
// not see the cause; the log does.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Errorf makes an error of a model. Only generated constructors and package
// wire call it; everybody else calls those.
func Errorf(code string, status int, fault Fault, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Fault: fault, Message: fmt.Sprintf(format, args...)}
}
