package iam

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
)

// awsManagedData holds AWS managed policies, those that have to do with the
// services of Remit. AWSMANAGED.md says where they come from.
//
//go:embed awsmanaged.json.gz
var awsManagedData []byte

// awsManaged gives the AWS managed policies by ARN and in the order of their
// names. They are read when somebody first needs one.
var awsManaged = sync.OnceValue(func() *awsPolicies {
	all, err := readAWSManaged(awsManagedData)
	if err != nil {
		panic("iam: embedded AWS managed policies: " + err.Error()) // a broken build
	}
	return all
})

type awsPolicies struct {
	byARN  map[string]*Policy
	byName []*Policy
}

func readAWSManaged(data []byte) (*awsPolicies, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var list []struct {
		Name, Path, ARN  string
		Version          int
		Created, Updated time.Time
		Document         string
	}
	if err := json.NewDecoder(z).Decode(&list); err != nil {
		return nil, err
	}
	out := &awsPolicies{byARN: make(map[string]*Policy, len(list))}
	for _, p := range list {
		if p.ARN != "arn:aws:iam::aws:policy"+p.Path+p.Name {
			return nil, fmt.Errorf("%s does not fit its name and path", p.ARN)
		}
		// AWS's own unique ids are not in the source; ours follow from the ARN.
		seed := sha256.Sum256([]byte(p.ARN))
		d := &Policy{
			Name: p.Name, Path: p.Path, ARN: p.ARN, ID: id.Unique(id.NewSeeded(seed[:]), "ANPA"),
			Created: p.Created, Updated: p.Updated, Default: p.Version, Last: p.Version,
			Versions: []Version{{Number: p.Version, Document: p.Document, Created: p.Updated}},
		}
		out.byARN[p.ARN] = d
		out.byName = append(out.byName, d)
	}
	return out, nil
}

const awsManagedPrefix = "arn:aws:iam::aws:policy/"

func isAWSManaged(policyARN string) bool { return strings.HasPrefix(policyARN, awsManagedPrefix) }

// managed finds a managed policy that an account can use: one of AWS's, or its
// own. shard is that of the account.
func managed(r store.Reader, shard, policyARN string) (*Policy, bool) {
	if isAWSManaged(policyARN) {
		p, ok := awsManaged().byARN[policyARN]
		return p, ok
	}
	p, ok := policies.Get(r, shard, fold(policyARN[strings.LastIndexByte(policyARN, '/')+1:]))
	return p, ok && p.ARN == policyARN
}
