package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// unreserved holds the bytes that stand for themselves in canonical paths and
// queries: RFC 3986 unreserved characters.
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

func appendEscaped(b []byte, c byte) []byte {
	if unreserved[c] {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// escaped reads the byte of a percent escape at s[i]; ok is false when there is
// no well-formed escape.
func escaped(s string, i int) (c byte, ok bool) {
	if s[i] != '%' || i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := unhex(s[i+1])
	lo, ok2 := unhex(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

// appendReencoded appends s with every byte escaped as the signature wants it,
// whichever way the client had escaped it.
func appendReencoded(b []byte, s string, query bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if d, ok := escaped(s, i); ok {
				b = appendEscaped(b, d) // %2F stays an escape: it is no separator
				i += 2
				continue
			}
		case c == '+' && query:
			c = ' '
		case c == '/' && !query:
			b = append(b, '/')
			continue
		}
		b = appendEscaped(b, c)
	}
	return b
}

// appendPath appends the canonical URI. S3's keys may hold any sequence of
// slashes and dots, so its paths are neither normalised nor escaped twice.
func appendPath(b []byte, path string, s3 bool) []byte {
	if path == "" {
		return append(b, '/')
	}
	if s3 {
		return appendReencoded(b, path, false)
	}
	if path != "/" {
		path = normalisePath(path)
	}
	for i := range len(path) {
		if path[i] == '/' {
			b = append(b, '/')
		} else {
			b = appendEscaped(b, path[i])
		}
	}
	return b
}

// normalisePath removes empty and dot segments as RFC 3986 does, keeping a
// final slash.
func normalisePath(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	parts := strings.Split(path, "/")
	for _, p := range parts {
		switch p {
		case "", ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, p)
		}
	}
	last := parts[len(parts)-1]
	joined := "/" + strings.Join(out, "/")
	if len(out) > 0 && (last == "" || last == "." || last == "..") {
		joined += "/"
	}
	return joined
}

// appendQuery appends the canonical query: every pair decoded, escaped anew and
// sorted by its escaped form. skip names a parameter to leave out.
func appendQuery(b []byte, raw, skip string) []byte {
	if raw == "" {
		return b
	}
	type pair struct{ key, value string }
	pairs := make([]pair, 0, strings.Count(raw, "&")+1)
	scratch := make([]byte, 0, len(raw)+32)
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		if k == skip {
			continue
		}
		scratch = appendReencoded(scratch[:0], k, true)
		n := len(scratch)
		scratch = appendReencoded(scratch, v, true)
		s := string(scratch)
		pairs = append(pairs, pair{s[:n], s[n:]})
	}
	slices.SortStableFunc(pairs, func(x, y pair) int {
		if c := strings.Compare(x.key, y.key); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.key...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}

// canonicalKeys spares the headers that most requests sign an allocation.
var canonicalKeys = map[string]string{
	"content-type":         "Content-Type",
	"x-amz-content-sha256": "X-Amz-Content-Sha256",
	"x-amz-date":           "X-Amz-Date",
	"x-amz-security-token": "X-Amz-Security-Token",
	"x-amz-target":         "X-Amz-Target",
}

// appendHeaders appends the canonical headers, each with its newline.
func appendHeaders(b []byte, r *http.Request, names []string) []byte {
	for _, name := range names {
		b = append(b, name...)
		b = append(b, ':')
		switch name {
		case "host":
			b = appendTrimmed(b, requestHost(r))
		case "content-length":
			// net/http may keep the length out of the header map.
			if v := r.Header["Content-Length"]; len(v) > 0 {
				b = appendTrimmed(b, strings.Join(v, ","))
			} else if r.ContentLength >= 0 {
				b = strconv.AppendInt(b, r.ContentLength, 10)
			}
		case "transfer-encoding":
			b = appendTrimmed(b, strings.Join(r.TransferEncoding, ","))
		default:
			key, ok := canonicalKeys[name]
			if !ok {
				key = http.CanonicalHeaderKey(name)
			}
			for i, v := range r.Header[key] {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendTrimmed(b, v)
			}
		}
		b = append(b, '\n')
	}
	return b
}

// appendTrimmed appends a header value without outer white space and with runs
// of spaces made one.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.TrimSpace(v)
	space := false
	for i := range len(v) {
		if v[i] == ' ' && space {
			continue
		}
		space = v[i] == ' '
		b = append(b, v[i])
	}
	return b
}

// requestHost is the host a server was asked for, or a client is going to ask.
func requestHost(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// appendCanonical appends the canonical request.
func appendCanonical(b []byte, r *http.Request, names []string, s3, presigned bool, payloadHash string) []byte {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	b = append(b, method...)
	b = append(b, '\n')
	b = appendPath(b, r.URL.EscapedPath(), s3)
	b = append(b, '\n')
	skip := ""
	if presigned {
		skip = "X-Amz-Signature"
	}
	b = appendQuery(b, r.URL.RawQuery, skip)
	b = append(b, '\n')
	b = appendHeaders(b, r, names)
	b = append(b, '\n')
	for i, n := range names {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, n...)
	}
	b = append(b, '\n')
	return append(b, payloadHash...)
}
