package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/remit-ecs/remit/internal/agent/engine"
)

// state is what the agent remembers of its registration: who it is, and the
// highest sequence number it has seen.
type state struct {
	file string

	mu  sync.Mutex
	doc stateDocument
}

type stateDocument struct {
	Version           int    `json:"version"`
	Cluster           string `json:"cluster"`
	ContainerInstance string `json:"containerInstanceArn,omitempty"`
	SeqNum            int64  `json:"seqNum"`
}

// openState reads the file or begins a new one. A registration in another
// cluster is refused: the operator must say which of the two is meant.
func openState(file, cluster string) (*state, error) {
	s := &state{file: file, doc: stateDocument{Version: 1, Cluster: cluster}}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if err := json.Unmarshal(b, &s.doc); err != nil || s.doc.Version != 1 {
		return nil, fmt.Errorf("agent: %s cannot be read; remove it to register as a new container instance", file)
	}
	if s.doc.Cluster != cluster {
		return nil, fmt.Errorf("agent: %s belongs to cluster %s, not %s; remove it to register as a new container instance", file, s.doc.Cluster, cluster)
	}
	return s, nil
}

func (s *state) instance() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doc.ContainerInstance
}

func (s *state) setInstance(arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doc.ContainerInstance != arn {
		s.doc.SeqNum = 0 // numbers are counted per container instance
	}
	s.doc.ContainerInstance = arn
	return s.save()
}

// Last implements acs.Sequence.
func (s *state) Last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doc.SeqNum
}

// Advance implements acs.Sequence.
func (s *state) Advance(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= s.doc.SeqNum {
		return nil
	}
	s.doc.SeqNum = n
	return s.save()
}

func (s *state) save() error {
	b, err := json.Marshal(s.doc)
	if err != nil {
		return err
	}
	return engine.WriteFile(s.file, b)
}
