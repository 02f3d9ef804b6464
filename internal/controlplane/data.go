package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/remit-ecs/remit/internal/id"
)

// tempPrefix begins the names of temporary data directories, so that those of
// killed servers are found and swept.
const tempPrefix = "remit-data-"

// rootKey is the access key of the account's root user.
type rootKey struct {
	Account string `json:"account"`
	KeyID   string `json:"accessKeyId"`
	Secret  string `json:"secretAccessKey"`
}

// loadRootKey takes the key of the options, or the one in the data directory,
// which is made at the first start.
func (cp *ControlPlane) loadRootKey() (rootKey, error) {
	if cp.RootKeyID != "" {
		return rootKey{cp.Account, cp.RootKeyID, cp.RootSecret}, nil
	}
	name := filepath.Join(cp.data, "root-key.json")
	text, err := os.ReadFile(name)
	if err == nil {
		var k rootKey
		if err := json.Unmarshal(text, &k); err != nil || k.KeyID == "" || k.Secret == "" {
			return k, fmt.Errorf("%s does not hold an access key", name)
		}
		if k.Account != cp.Account {
			return k, fmt.Errorf("%s belongs to account %s; start with --account %s", cp.data, k.Account, k.Account)
		}
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return rootKey{}, err
	}
	k := rootKey{cp.Account, id.AccessKeyID(id.Random, id.LongTerm, cp.Account), id.SecretKey(id.Random)}
	if text, err = json.Marshal(k); err != nil {
		return k, err
	}
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return k, err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	return k, err
}
