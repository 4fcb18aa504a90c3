package main

import (
	"context"
	"sync"

	"permanode/ingest"
	"permanode/ledger"
)

// late is a source of the service that could not be opened when it started: a store that did not answer, a folder
// that was not mounted. It is opened when it can be; until then it is a source that does not answer.
type late struct {
	name string
	open func(context.Context) (*source, error)

	mu     sync.Mutex // guards what follows
	source *source
}

func (l *late) get(ctx context.Context) (*source, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == nil {
		s, err := l.open(ctx)
		if err != nil {
			return nil, err
		}
		l.source = s
	}
	return l.source, nil
}

func (l *late) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == nil {
		return nil
	}
	return l.source.close()
}

func (l *late) Name() string { return l.name }

func (l *late) Info(ctx context.Context) (ingest.Info, error) {
	s, err := l.get(ctx)
	if err != nil {
		return ingest.Info{}, err
	}
	return s.Info(ctx)
}

func (l *late) Head(ctx context.Context, seq uint64) ([]byte, error) {
	s, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return s.Head(ctx, seq)
}

func (l *late) Fetch(ctx context.Context, ids []ledger.ID) ([][]byte, error) {
	s, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return s.Fetch(ctx, ids)
}

func (l *late) Cone(ctx context.Context, seq uint64) ([]byte, [][]byte, error) {
	s, err := l.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	return s.Cone(ctx, seq)
}

func (l *late) Claims(ctx context.Context, seq uint64, ids []ledger.ID) (*ledger.NodeClaims, error) {
	s, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return s.Claims(ctx, seq, ids)
}
