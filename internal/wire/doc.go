// SPDX-License-Identifier: Apache-2.0

// Package wire turns bytes into api shapes and back, in the protocols of AWS:
// awsJson 1.0 and 1.1, awsQuery, and restXml as Amazon S3 speaks it. It also
// does what follows from the tables of shapes alone: recognising which
// operation a request calls, enforcing the model's constraints, and hiding what
// must not be written to the audit trail.
//
//	*http.Request --Recognise--> *api.OpInfo
//	Request       --DecodeInput--> *XInput --Validate--> *api.Error or nil
//	*XOutput      --EncodeOutput--> http.ResponseWriter
//	*api.Error    --EncodeError---> http.ResponseWriter
//
// The gateway calls it, and so do listeners that speak AWS protocols by other
// doors. Package wire never authenticates, never decides, keeps no state but
// caches of what it computed from the models, and never panics on what a caller
// sent: bytes that cannot be read become api.Malformed, in the spelling of the
// service.
//
// Nothing is generated here. The codecs walk the tables of package api beside
// the reflected Go value; member i of a shape is field i of its struct.
package wire
