// Package sigv4 checks and makes AWS Signature Version 4 signatures.
//
// The gateway calls [Parse] on every request as it arrived, looks the access
// key up, and calls [Request.Verify] with the secret access key. A body whose
// hash could not be known when its headers were signed (aws-chunked uploads to
// S3) is read through [NewBody], which verifies chunk signatures, trailers and
// checksums while it streams. [Sign] and [Presign] are for components of ours
// that are AWS clients inside the same process, and for tests.
//
// The package works on the bytes of the request alone. It never looks up an
// access key, never decides whether somebody may do something, never buffers a
// body and never logs. Whatever it does not understand it refuses:
// Signature Version 2 and the multi-region SigV4A are refused by name.
//
// Refusals are values: an [Error] has a Kind and knows the code, HTTP status
// and text that AWS uses for it in each protocol family.
package sigv4
