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

// The files of the data directory with root users' keys: that of the account
// which the directory was made for, and those of accounts that came later.
const (
	rootKeyFile  = "root-key.json"
	rootKeysFile = "root-keys.json"
)

// rootKey is the access key of an account's root user.
type rootKey struct {
	Account string `json:"account"`
	KeyID   string `json:"accessKeyId"`
	Secret  string `json:"secretAccessKey"`
}

// loadRootKeys gives every account that is served its key: the default account
// that of the options, and the others, or all, the one in the data directory,
// which is made when the account is served for the first time. The keys of
// accounts that are no longer served stay in the directory.
func (cp *ControlPlane) loadRootKeys() (map[string]rootKey, error) {
	first, err := readRootKey(filepath.Join(cp.data, rootKeyFile))
	if err != nil {
		return nil, err
	}
	more, err := readRootKeys(filepath.Join(cp.data, rootKeysFile))
	if err != nil {
		return nil, err
	}
	out := map[string]rootKey{}
	added := false
	for _, a := range cp.Accounts.Accounts() {
		switch k, ok := more[a.ID]; {
		case a.ID == cp.Account && cp.RootKeyID != "":
			out[a.ID] = rootKey{a.ID, cp.RootKeyID, cp.RootSecret}
		case first.Account == a.ID:
			out[a.ID] = first
		case ok:
			out[a.ID] = k
		default:
			k = rootKey{a.ID, id.AccessKeyID(id.Random, id.LongTerm, a.ID), id.SecretKey(id.Random)}
			out[a.ID] = k
			switch {
			case first.Account == "" && a.ID == cp.Account:
				if err := writeJSON(filepath.Join(cp.data, rootKeyFile), k); err != nil {
					return nil, err
				}
				first = k
			case len(cp.Accounts.Accounts()) == 1:
				// One account is served, and the directory has another's state.
				return nil, fmt.Errorf("%s belongs to account %s; start with --account %s", cp.data, first.Account, first.Account)
			default:
				more[a.ID], added = k, true
			}
		}
	}
	if added {
		err = writeJSON(filepath.Join(cp.data, rootKeysFile), more)
	}
	return out, err
}

// readRootKey reads the key of one account; it is empty where there is no file.
func readRootKey(name string) (rootKey, error) {
	var k rootKey
	found, err := readJSON(name, &k)
	if found && err == nil && (k.KeyID == "" || k.Secret == "") {
		err = fmt.Errorf("%s does not hold an access key", name)
	}
	return k, err
}

// readRootKeys reads the keys of further accounts; there are none where there is
// no file.
func readRootKeys(name string) (map[string]rootKey, error) {
	keys := map[string]rootKey{}
	if _, err := readJSON(name, &keys); err != nil {
		return nil, err
	}
	for account, k := range keys {
		if k.Account != account || k.KeyID == "" || k.Secret == "" {
			return nil, fmt.Errorf("%s does not hold an access key of account %s", name, account)
		}
	}
	return keys, nil
}

func readJSON(name string, v any) (found bool, err error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && json.Unmarshal(text, v) != nil {
		err = fmt.Errorf("%s does not hold access keys", name)
	}
	return true, err
}

// writeJSON replaces a file at once, and is back when it is on disk.
func writeJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
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
	return err
}
