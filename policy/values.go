package policy

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

// number is a decimal number: exact where it is an integer of 64 bits.
type number struct {
	integer bool
	i       int64
	f       float64
}

// parseNumber reads a decimal integer or fraction. It does not accept the other
// things that strconv does: hexadecimal, underscores, infinities.
func parseNumber(s string) (number, bool) {
	integer := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '+', c == '-':
		case c == '.', (c == 'e' || c == 'E') && i > 0:
			integer = false
		default:
			return number{}, false
		}
	}
	if integer {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return number{integer: true, i: i, f: float64(i)}, true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return number{f: f}, err == nil
}

func (n number) compare(m number) int {
	if n.integer && m.integer {
		return cmp.Compare(n.i, m.i)
	}
	return cmp.Compare(n.f, m.f)
}

// instant is a point in time.
type instant struct {
	seconds     int64 // since 1970
	nanoseconds int
}

func (t instant) compare(u instant) int {
	if c := cmp.Compare(t.seconds, u.seconds); c != 0 {
		return c
	}
	return cmp.Compare(t.nanoseconds, u.nanoseconds)
}

// parseDate reads the W3C forms of ISO 8601 (YYYY, YYYY-MM, YYYY-MM-DD, and
// with a time Thh:mm, Thh:mm:ss, Thh:mm:ss.f and a zone, UTC if there is none)
// and seconds since 1970. Four digits are a year.
//
// https://www.w3.org/TR/NOTE-datetime
func parseDate(s string) (instant, bool) {
	if len(s) > 4 && s[4] == '-' && isYear(s[:4]) {
		// Spare the attempt to read it as a number.
	} else if n, ok := parseNumber(s); ok && !isYear(s) {
		whole := math.Floor(n.f)
		if math.Abs(whole) > 1<<52 {
			return instant{}, false
		}
		return instant{int64(whole), int((n.f - whole) * 1e9)}, true
	}
	d := digits{s: s, ok: true}
	year := d.take(4)
	month, day, hour, minute, second, nanos, offset := 1, 1, 0, 0, 0, 0, 0
	if d.next('-') {
		month = d.take(2)
		if d.next('-') {
			day = d.take(2)
			if d.next('T') || d.next('t') {
				hour = d.take(2)
				d.ok = d.next(':') && d.ok
				minute = d.take(2)
				if d.next(':') {
					second = d.take(2)
					if d.next('.') {
						nanos = d.fraction()
					}
				}
				offset = d.zone()
			}
		}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	// time.Date carries the 31st of February into March.
	carried := t.Day() != day || int(t.Month()) != month || t.Minute() != minute || t.Hour() != hour
	if !d.ok || d.s != "" || carried {
		return instant{}, false
	}
	return instant{t.Unix() - int64(offset), t.Nanosecond()}, true
}

func isYear(s string) bool {
	return len(s) == 4 && strings.Trim(s, "0123456789") == ""
}

// digits reads a date from left to right.
type digits struct {
	s  string
	ok bool
}

func (d *digits) next(c byte) bool {
	if d.s != "" && d.s[0] == c {
		d.s = d.s[1:]
		return true
	}
	return false
}

// take reads exactly n digits.
func (d *digits) take(n int) int {
	if len(d.s) < n {
		d.ok = false
		return 0
	}
	v := 0
	for _, c := range []byte(d.s[:n]) {
		if c < '0' || c > '9' {
			d.ok = false
		}
		v = v*10 + int(c) - '0'
	}
	d.s = d.s[n:]
	return v
}

// fraction reads a fraction of a second, in nanoseconds.
func (d *digits) fraction() int {
	v, scale, n := 0, 100_000_000, 0
	for ; d.s != "" && d.s[0] >= '0' && d.s[0] <= '9'; n++ {
		v += int(d.s[0]-'0') * scale
		scale /= 10
		d.s = d.s[1:]
	}
	d.ok = d.ok && n > 0
	return v
}

// zone reads Z or an offset, in seconds east of UTC.
func (d *digits) zone() int {
	sign := 1
	switch {
	case d.s == "", d.next('Z'), d.next('z'):
		return 0
	case d.next('-'):
		sign = -1
	case !d.next('+'):
		d.ok = false
		return 0
	}
	hours := d.take(2)
	d.next(':')
	return sign * (hours*3600 + d.take(2)*60)
}
