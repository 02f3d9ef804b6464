package sts_test

import (
	"encoding/json"
	"testing"

	"github.com/remit-ecs/remit/internal/scenario"
)

func authorization(t *testing.T, text []byte) *scenario.Authorization {
	t.Helper()
	a := &scenario.Authorization{}
	if err := json.Unmarshal(text, a); err != nil {
		t.Fatal(err)
	}
	return a
}
