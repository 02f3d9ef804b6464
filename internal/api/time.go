// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is a point in time of the API, always in UTC. Its JSON form is the one
// of the AWS JSON protocols, seconds since 1970 with a fraction, so that
// documents hold what callers are shown.
type Time struct{ time.Time }

// At returns t as a member of a structure.
func At(t time.Time) *Time { return &Time{t.UTC()} }

// AppendEpoch appends the seconds since 1970 with a fraction of at most the
// given number of digits (0 to 9), without trailing zeros. The fraction is cut,
// not rounded.
func (t Time) AppendEpoch(b []byte, digits int) []byte {
	sec, ns := t.Unix(), int64(t.Nanosecond())
	if digits < 9 {
		unit := int64(1)
		for range 9 - max(digits, 0) {
			unit *= 10
		}
		ns -= ns % unit
	}
	if sec < 0 && ns > 0 { // -1.75 is second -2 and 250 million nanoseconds
		sec, ns = sec+1, 1e9-ns
		if sec == 0 {
			b = append(b, '-')
		}
	}
	b = strconv.AppendInt(b, sec, 10)
	if ns == 0 {
		return b
	}
	var frac [10]byte
	frac[0] = '.'
	for i := 9; i > 0; i-- {
		frac[i] = byte('0' + ns%10)
		ns /= 10
	}
	end := len(frac)
	for frac[end-1] == '0' {
		end--
	}
	return append(b, frac[:end]...)
}

// MarshalJSON writes the time to the nanosecond, so that documents come back as
// they were stored.
func (t Time) MarshalJSON() ([]byte, error) { return t.AppendEpoch(nil, 9), nil }

// UnmarshalJSON reads seconds since 1970, or a string that ParseTime reads.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	if len(s) >= 2 && s[0] == '"' {
		u, err := strconv.Unquote(s)
		if err != nil {
			return errTime
		}
		s = u
	}
	v, err := ParseTime(s)
	if err != nil {
		return err
	}
	*t = v
	return nil
}

var errTime = errors.New("not a timestamp")

// The years that AWS's own parsers admit. Beyond them lies only trouble:
// time.Time's JSON and text forms fail on years of more than four digits.
const (
	minSecond = -62135596800 // 0001-01-01
	maxSecond = 253402300799 // 9999-12-31T23:59:59
)

// ParseTime reads a timestamp in any form that AWS clients send: seconds since
// 1970, ISO 8601 with or without fraction and zone, a bare date, or the date of
// an HTTP header.
func ParseTime(s string) (Time, error) {
	if s == "" || len(s) > 64 {
		return Time{}, errTime
	}
	if t, ok := parseEpoch(s); ok {
		return t, nil
	}
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02", "20060102T150405Z",
		"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC1123Z, time.RFC850, time.ANSIC,
		"2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			if u := t.Unix(); u < minSecond || u > maxSecond {
				return Time{}, errTime
			}
			return Time{t.UTC()}, nil
		}
	}
	return Time{}, errTime
}

// parseEpoch reads decimal seconds exactly: a float64 would lose nanoseconds.
func parseEpoch(s string) (Time, bool) {
	digits, neg := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if isDigits(whole) && len(whole) <= 12 && (frac == "" || isDigits(frac)) && !strings.HasSuffix(s, ".") {
		sec, _ := strconv.ParseInt(whole, 10, 64)
		if len(frac) > 9 {
			frac = frac[:9]
		}
		ns, _ := strconv.ParseInt(frac+strings.Repeat("0", 9-len(frac)), 10, 64)
		if neg {
			sec, ns = -sec, -ns
		}
		if sec <= minSecond || sec > maxSecond {
			if sec == minSecond && ns == 0 {
				return Time{time.Unix(sec, 0).UTC()}, true
			}
			return Time{}, false
		}
		return Time{time.Unix(sec, ns).UTC()}, true
	}
	if strings.ContainsAny(s, "xXpP_iInN") { // no hexadecimal, no infinity
		return Time{}, false
	}
	f, err := strconv.ParseFloat(s, 64) // 1.7E9
	if err != nil || f < minSecond || f > maxSecond {
		return Time{}, false
	}
	sec, part := math.Modf(f)
	return Time{time.Unix(int64(sec), int64(math.Round(part*1e6))*1e3).UTC()}, true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
