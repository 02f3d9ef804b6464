package session

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
)

// The encoding of a principal inside a token:
//
//	format  1 byte
//	type    1 byte
//	flags   1 byte
//	issued  unix seconds, uvarint
//	life    seconds, uvarint
//	fields  until the end: tag byte, uvarint length, bytes
//
// Empty fields are left out, and so are those that the others imply. A field
// with an unknown tag makes the token unreadable: it could restrict the session.
const encodingFormat = 1

const (
	flagMFA = 1 << iota
	flagChained
	flagImplied // ARN, UserID and RoleName follow from RoleARN, RoleID and SessionName

	knownFlags = flagMFA | flagChained | flagImplied
)

const (
	tagAccount = iota + 1
	tagARN
	tagUserID
	tagRoleARN
	tagRoleName
	tagRoleID
	tagSessionName
	tagUserName
	tagService
	tagInvokedBy
	tagSourceIdentity
	tagRegion
	tagPolicy
	tagPolicyARN     // one for each
	tagTransitiveKey // one for each
	tagTagKey        // one for each, followed by its tagTagValue
	tagTagValue
	tagIssuerARN
	tagIssuerID
)

var errEncoding = errors.New("session: unreadable principal")

// texts lists the plain fields that have the first tags.
func (p *Principal) texts() [13]*string {
	return [...]*string{
		tagAccount - 1: &p.Account, tagARN - 1: &p.ARN, tagUserID - 1: &p.UserID,
		tagRoleARN - 1: &p.RoleARN, tagRoleName - 1: &p.RoleName, tagRoleID - 1: &p.RoleID,
		tagSessionName - 1: &p.SessionName, tagUserName - 1: &p.UserName, tagService - 1: &p.Service,
		tagInvokedBy - 1: &p.InvokedBy, tagSourceIdentity - 1: &p.SourceIdentity,
		tagRegion - 1: &p.Region, tagPolicy - 1: &p.Policy,
	}
}

// implied returns the ARN, user id and role name of the session that the role's
// ARN (arn:PARTITION:iam::ACCOUNT:role/PATH/NAME), its id and the session name
// make.
func (p *Principal) implied() (arn, userID, roleName string) {
	head, tail, ok := strings.Cut(p.RoleARN, ":iam::")
	if !ok {
		return "", "", ""
	}
	account, path, _ := strings.Cut(tail, ":")
	roleName = path[strings.LastIndexByte(path, '/')+1:]
	return head + ":sts::" + account + ":assumed-role/" + roleName + "/" + p.SessionName,
		p.RoleID + ":" + p.SessionName, roleName
}

func appendPrincipal(b []byte, p *Principal, issued, expires time.Time) []byte {
	var flags byte
	if p.MFA {
		flags |= flagMFA
	}
	if p.Chained {
		flags |= flagChained
	}
	if p.Type == AssumedRole {
		if arn, userID, name := p.implied(); arn == p.ARN && userID == p.UserID && name == p.RoleName {
			flags |= flagImplied
		}
	}
	b = append(b, encodingFormat, byte(p.Type), flags)
	b = binary.AppendUvarint(b, uint64(issued.Unix()))
	b = binary.AppendUvarint(b, uint64(expires.Unix()-issued.Unix()))
	field := func(tag byte, s string) {
		b = append(b, tag)
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for i, s := range p.texts() {
		tag := byte(i + 1)
		if *s == "" || flags&flagImplied != 0 && (tag == tagARN || tag == tagUserID || tag == tagRoleName) {
			continue
		}
		field(tag, *s)
	}
	if p.IssuerARN != "" {
		field(tagIssuerARN, p.IssuerARN)
	}
	if p.IssuerID != "" {
		field(tagIssuerID, p.IssuerID)
	}
	for _, s := range p.PolicyARNs {
		field(tagPolicyARN, s)
	}
	for _, s := range p.TransitiveTagKeys {
		field(tagTransitiveKey, s)
	}
	if len(p.Tags) > 0 {
		names := make([]string, 0, len(p.Tags))
		for k := range p.Tags {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			field(tagTagKey, k)
			field(tagTagValue, p.Tags[k])
		}
	}
	return b
}

// decodePrincipal is the inverse of appendPrincipal.
func decodePrincipal(b []byte) (p Principal, err error) {
	if len(b) < 3 || b[0] != encodingFormat || b[2]&^knownFlags != 0 {
		return Principal{}, errEncoding
	}
	p.Type = Type(b[1])
	if p.Type < Root || p.Type > FederatedUser {
		return Principal{}, errEncoding
	}
	flags := b[2]
	p.MFA, p.Chained = flags&flagMFA != 0, flags&flagChained != 0
	// One string holds all fields, which are parts of it.
	s := string(b[3:])
	number := func() uint64 {
		var n uint64
		for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
			n |= uint64(s[i]&0x7f) << (7 * i)
			if s[i] < 0x80 {
				s = s[i+1:]
				return n
			}
		}
		err = errEncoding
		return 0
	}
	issued, life := number(), number()
	const farFuture = 1 << 40 // beyond any date; keeps the sum in range
	if err != nil || issued > farFuture || life > farFuture {
		return Principal{}, errEncoding
	}
	p.IssuedAt = time.Unix(int64(issued), 0).UTC()
	p.ExpiresAt = time.Unix(int64(issued+life), 0).UTC()

	texts := p.texts()
	key, haveKey := "", false
	for s != "" {
		tag := s[0]
		s = s[1:]
		n := number()
		if err != nil || n > uint64(len(s)) || haveKey != (tag == tagTagValue) {
			return Principal{}, errEncoding
		}
		v := s[:n]
		s = s[n:]
		switch {
		case tag >= 1 && int(tag) <= len(texts):
			*texts[tag-1] = v
		case tag == tagIssuerARN:
			p.IssuerARN = v
		case tag == tagIssuerID:
			p.IssuerID = v
		case tag == tagPolicyARN:
			p.PolicyARNs = append(p.PolicyARNs, v)
		case tag == tagTransitiveKey:
			p.TransitiveTagKeys = append(p.TransitiveTagKeys, v)
		case tag == tagTagKey:
			key, haveKey = v, true
		case tag == tagTagValue:
			if p.Tags == nil {
				p.Tags = make(map[string]string)
			}
			p.Tags[key], haveKey = v, false
		default:
			return Principal{}, errEncoding
		}
	}
	if haveKey {
		return Principal{}, errEncoding
	}
	if flags&flagImplied != 0 {
		p.ARN, p.UserID, p.RoleName = p.implied()
	}
	return p, nil
}
