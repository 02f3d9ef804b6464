package iam

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/store"
)

// The documents of IAM. All lie in the shard ACCOUNT/global.
//
//	iam.role             name in lower case    found by id, by managed policy
//	iam.user             name in lower case    found by id, by group, by managed policy
//	iam.group            name in lower case    found by id, by managed policy
//	iam.policy           name in lower case    customer managed policies, all versions
//	iam.accesskey        AKIA...               found by the user's id
//	iam.instanceprofile  name in lower case    found by role
//	iam.account          "account": what is kept of the account as a whole
//	iam.lastuse          AKIA... or AROA...
//	iam.deletiontask     task/aws-service-role/SERVICE/ROLE/UUID
//
// Names are unique ignoring case and across paths, hence the keys; looked up
// they are compared exactly.
var (
	roles = store.NewKind("iam.role", 1,
		store.Index[Role]{Name: "id", Keys: func(_ string, d *Role) []string { return []string{d.ID} }},
		store.Index[Role]{Name: "policy", Keys: func(_ string, d *Role) []string { return d.Attached }},
		store.Index[Role]{Name: "boundary", Keys: func(_ string, d *Role) []string { return some(d.Boundary) }},
	)
	users = store.NewKind("iam.user", 1,
		store.Index[User]{Name: "id", Keys: func(_ string, d *User) []string { return []string{d.ID} }},
		store.Index[User]{Name: "policy", Keys: func(_ string, d *User) []string { return d.Attached }},
		store.Index[User]{Name: "group", Keys: func(_ string, d *User) []string { return d.Groups }},
		store.Index[User]{Name: "boundary", Keys: func(_ string, d *User) []string { return some(d.Boundary) }},
	)
	groups = store.NewKind("iam.group", 1,
		store.Index[Group]{Name: "id", Keys: func(_ string, d *Group) []string { return []string{d.ID} }},
		store.Index[Group]{Name: "policy", Keys: func(_ string, d *Group) []string { return d.Attached }},
	)
	policies   = store.NewKind[Policy]("iam.policy", 1)
	accessKeys = store.NewKind("iam.accesskey", 1,
		store.Index[AccessKey]{Name: "user", Keys: func(_ string, d *AccessKey) []string { return []string{d.UserID} }},
	)
	instanceProfiles = store.NewKind("iam.instanceprofile", 1,
		store.Index[InstanceProfile]{Name: "role", Keys: func(_ string, d *InstanceProfile) []string { return some(d.Role) }},
	)
)

// deletionTasks are what became of requests to delete service-linked roles.
var deletionTasks = store.NewKind[DeletionTask]("iam.deletiontask", 1)

var accounts = store.NewKind[Account]("iam.account", 1)

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// fold is the key under which a name is stored.
func fold(name string) string { return strings.ToLower(name) }

// Entity is what roles, users and groups have in common. Groups have no tags and
// no boundary.
type Entity struct {
	Name    string       `json:"name"`
	Path    string       `json:"path"`
	ID      string       `json:"id"` // AROA..., AIDA..., AGPA...: never the same again
	ARN     string       `json:"arn"`
	Created time.Time    `json:"created"`
	Tags    []iamapi.Tag `json:"tags,omitempty"`

	Boundary string   `json:"boundary,omitempty"` // ARN of a managed policy
	Attached []string `json:"attached,omitempty"` // ARNs of managed policies, in order of attachment
	Inline   []Inline `json:"inline,omitempty"`   // ordered by name

	// What is derived from the document, made at first use. A document is
	// never changed, only replaced, so it never has to be made again.
	compiled atomic.Pointer[compiled]
}

// Inline is a policy that lives in its role, user or group.
type Inline struct {
	Name     string `json:"name"`
	Document string `json:"document"` // as given
}

// Role is a role.
type Role struct {
	Entity
	Description *string `json:"description,omitempty"`
	MaxSession  int32   `json:"maxSession"` // seconds
	Trust       string  `json:"trust"`      // as given
	// Bound are the ARNs of roles and users that Trust names, each with the
	// unique id that it had when the policy was saved.
	Bound authz.Bound `json:"bound,omitempty"`
}

// User is a user.
type User struct {
	Entity
	Groups []string `json:"groups,omitempty"` // unique ids, in the order of joining
}

// Group is a group of users: its policies are theirs.
type Group struct {
	Entity
}

// Policy is a customer managed policy.
type Policy struct {
	Name        string       `json:"name"`
	Path        string       `json:"path"`
	ID          string       `json:"id"` // ANPA...
	ARN         string       `json:"arn"`
	Description *string      `json:"description,omitempty"`
	Created     time.Time    `json:"created"`
	Updated     time.Time    `json:"updated"`
	Tags        []iamapi.Tag `json:"tags,omitempty"`
	Versions    []Version    `json:"versions"` // oldest first
	Default     int          `json:"default"`  // number of the default version
	Last        int          `json:"last"`     // the last number ever given out

	compiled atomic.Pointer[compiled]
}

// Version is a version of a managed policy.
type Version struct {
	Number   int       `json:"number"` // 2 is shown as v2
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// AccessKey is a long-term access key of a user.
type AccessKey struct {
	ID      string            `json:"id"`     // AKIA..., which holds the account
	UserID  string            `json:"userId"` // survives the user's renaming
	Status  iamapi.StatusType `json:"status"`
	Created time.Time         `json:"created"`
	Sealed  []byte            `json:"sealed"` // the secret access key
}

// InstanceProfile hands a role to EC2 instances.
type InstanceProfile struct {
	Name    string       `json:"name"`
	Path    string       `json:"path"`
	ID      string       `json:"id"` // AIPA...
	ARN     string       `json:"arn"`
	Created time.Time    `json:"created"`
	Tags    []iamapi.Tag `json:"tags,omitempty"`
	Role    string       `json:"role,omitempty"` // key of the role: roles are not renamed
}
