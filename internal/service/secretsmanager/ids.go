package secretsmanager

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
)

// ref is a SecretId taken apart. It may be a name, an ARN, or an ARN without
// the six random characters at its end.
type ref struct {
	arn     string // as given, or built from the name: without a suffix then
	name    string // what follows "secret:", a suffix included
	account string
	byARN   bool
	foreign bool // another account's
}

const (
	suffixLen = 6
	maxName   = 512
)

// parseID reads a SecretId of a caller in an account and region.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
func parseID(account, region, s string) (ref, error) {
	if !strings.HasPrefix(s, "arn:") {
		if len(s) > maxName || !validName(s) {
			return ref{}, errName()
		}
		return ref{arn: secretARN(account, region, s), name: s, account: account}, nil
	}
	a, err := arn.Parse(s)
	if err != nil {
		return ref{}, errName()
	}
	name, ok := strings.CutPrefix(a.Resource, "secret:")
	if !ok || a.Service != "secretsmanager" || a.Partition != "aws" || a.Region == "" || !isAccount(a.Account) || !validName(name) {
		return ref{}, errName()
	}
	return ref{arn: s, name: name, account: a.Account, byARN: true, foreign: a.Account != account}, nil
}

func errName() *api.Error {
	return api.Validation("Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
}

func secretARN(account, region, resource string) string {
	return "arn:aws:secretsmanager:" + region + ":" + account + ":secret:" + resource
}

// shard is where the secret would lie. The region is always that of the
// request: an ARN of another region names nothing here, so that permission for
// a region cannot be used in another.
func (r *ref) shard(region string) string { return gateway.Regional(r.account, region) }

// find returns the secret that a SecretId means. What was deleted and is past
// its recovery window is gone, even if the loop has not removed it yet.
func (r *ref) find(c *gateway.Call) (*Secret, bool) {
	live := func(name string) (*Secret, bool) {
		d, ok := secrets.Get(c.Tx, r.shard(c.Region), name)
		return d, ok && !d.gone(c.Time)
	}
	if !r.byARN {
		return live(r.name)
	}
	if base, ok := withoutSuffix(r.name); ok {
		if d, ok := live(base); ok && d.ARN == r.arn {
			return d, true
		}
	}
	if r.foreign {
		return nil, false // another account's secret has to be named in full
	}
	d, ok := live(r.name)
	return d, ok && strings.HasPrefix(d.ARN, r.arn+"-") // same partition, region and account
}

// withoutSuffix takes "-AbCdEf" off the resource of an ARN.
func withoutSuffix(s string) (string, bool) {
	n := len(s) - suffixLen - 1
	if n < 1 || s[n] != '-' {
		return "", false
	}
	for i := n + 1; i < len(s); i++ {
		if !alphanumeric(s[i]) {
			return "", false
		}
	}
	return s[:n], true
}

// suffix draws the six characters that AWS puts behind the name, so that a
// secret made anew under an old name is not reached by what was allowed on the
// old one.
func suffix(ids id.Source) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, suffixLen)
	for len(out) < suffixLen {
		var b [16]byte
		ids.Fill(b[:])
		for _, x := range b {
			if int(x) < 4*len(letters) && len(out) < suffixLen { // no letter is likelier than another
				out = append(out, letters[int(x)%len(letters)])
			}
		}
	}
	return string(out)
}

// validName checks the characters of what a secret may be called.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
func validName(s string) bool {
	if s == "" || len(s) > maxName+1+suffixLen { // an ARN holds the suffix too
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && !strings.ContainsRune("/_+=.@-!", rune(s[i])) {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
