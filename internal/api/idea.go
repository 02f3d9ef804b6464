// SPDX-License-Identifier: Apache-2.0

package api

// Idea names an error that all services share and each protocol spells in its
// own way: what a Query service calls AccessDenied (403) is
// AccessDeniedException (400) in a JSON service. Package wire holds the
// spellings.
type Idea uint8

// The ideas.
const (
	IdeaAccessDenied          Idea = iota + 1 // the policies do not allow it
	IdeaValidation                            // the input breaks a constraint of the model
	IdeaMalformed                             // the input cannot be read at all
	IdeaThrottling                            // too many requests
	IdeaInternal                              // our fault
	IdeaUnavailable                           // our fault, and worth another attempt
	IdeaNotImplemented                        // AWS has it, we do not
	IdeaUnknownOperation                      // AWS has it not
	IdeaMissingAuthentication                 // the request is not signed
	IdeaInvalidClientToken                    // the access key or session token is not known
	IdeaSignatureMismatch                     // the signature is wrong
	IdeaSignatureExpired                      // the signature is too old, or from the future
	IdeaIncompleteSignature                   // the authorization header cannot be read
	IdeaExpiredToken                          // the session is over
	IdeaTooLarge                              // the body exceeds the limit

	ideaCount
)

var ideaNames = [ideaCount]string{
	IdeaAccessDenied:          "AccessDenied",
	IdeaValidation:            "ValidationError",
	IdeaMalformed:             "MalformedInput",
	IdeaThrottling:            "Throttling",
	IdeaInternal:              "InternalFailure",
	IdeaUnavailable:           "ServiceUnavailable",
	IdeaNotImplemented:        "NotImplemented",
	IdeaUnknownOperation:      "InvalidAction",
	IdeaMissingAuthentication: "MissingAuthenticationToken",
	IdeaInvalidClientToken:    "InvalidClientTokenId",
	IdeaSignatureMismatch:     "SignatureDoesNotMatch",
	IdeaSignatureExpired:      "SignatureExpired",
	IdeaIncompleteSignature:   "IncompleteSignature",
	IdeaExpiredToken:          "ExpiredToken",
	IdeaTooLarge:              "RequestEntityTooLarge",
}

// String returns the idea's name, which is also the Code of its errors until
// wire spells them.
func (i Idea) String() string {
	if i < ideaCount && i > 0 {
		return ideaNames[i]
	}
	return "unknown"
}

func idea(i Idea, fault Fault, message string) *Error {
	return &Error{Idea: i, Code: i.String(), Fault: fault, Message: message}
}

// AccessDenied: the policies that apply do not allow it. The message says who,
// which action, which resource and why.
func AccessDenied(message string) *Error {
	return idea(IdeaAccessDenied, FaultClient, message)
}

// Validation: the input can be read but breaks a constraint.
func Validation(message string) *Error { return idea(IdeaValidation, FaultClient, message) }

// Malformed: the input cannot be read: bad JSON, bad XML, a value of another
// type.
func Malformed(message string) *Error { return idea(IdeaMalformed, FaultClient, message) }

// Throttling: the caller asks too often.
func Throttling(message string) *Error { return idea(IdeaThrottling, FaultClient, message) }

// Internal: something of ours failed. The caller learns only that; cause is for
// the log.
func Internal(cause error) *Error {
	e := idea(IdeaInternal, FaultServer, "We encountered an internal error. Please try again.")
	e.cause = cause
	return e
}

// Unavailable: something of ours is not ready or has lost touch with its
// store. The caller may try again.
func Unavailable(message string, cause error) *Error {
	e := idea(IdeaUnavailable, FaultServer, message)
	e.cause = cause
	return e
}

// NotImplemented: an operation of AWS that Remit does not serve.
func NotImplemented(message string) *Error {
	return idea(IdeaNotImplemented, FaultServer, message)
}

// UnknownOperation: an operation that does not exist.
func UnknownOperation(message string) *Error {
	return idea(IdeaUnknownOperation, FaultClient, message)
}

// MissingAuthentication: the request carries no signature.
func MissingAuthentication() *Error {
	return idea(IdeaMissingAuthentication, FaultClient, "Request is missing Authentication Token")
}

// InvalidClientToken: the access key id or the session token is not one of
// ours.
func InvalidClientToken() *Error {
	return idea(IdeaInvalidClientToken, FaultClient, "The security token included in the request is invalid.")
}

// SignatureMismatch: the signature does not belong to the request.
func SignatureMismatch(message string) *Error {
	return idea(IdeaSignatureMismatch, FaultClient, message)
}

// SignatureExpired: the request's time is too far from ours.
func SignatureExpired(message string) *Error {
	return idea(IdeaSignatureExpired, FaultClient, message)
}

// IncompleteSignature: the authorization header, or its query form, cannot be
// read.
func IncompleteSignature(message string) *Error {
	return idea(IdeaIncompleteSignature, FaultClient, message)
}

// ExpiredToken: the temporary credentials are past their end.
func ExpiredToken() *Error {
	return idea(IdeaExpiredToken, FaultClient, "The security token included in the request is expired")
}

// TooLarge: the request exceeds a limit of size.
func TooLarge(message string) *Error { return idea(IdeaTooLarge, FaultClient, message) }
