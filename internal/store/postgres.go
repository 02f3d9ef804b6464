package store

import (
	"context"
	"errors"
	"log/slog"
)

func openPostgres(ctx context.Context, url string, log *slog.Logger) (engine, error) {
	return nil, errors.New("store: PostgreSQL is not built in")
}
