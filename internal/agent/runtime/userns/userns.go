package userns

import (
	"errors"
	"log/slog"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

type Options struct {
	Root     string
	Warnings []string
	Logger   *slog.Logger
}

func Probe() error { return errors.ErrUnsupported }

func New(Options) (runtime.Runtime, error) { return nil, errors.ErrUnsupported }
