package scrape

import (
	"context"
	"time"
)

const (
	// readTimeout bounds the reading of a state.
	readTimeout = 5 * time.Second
	// freshness is for how long a state that was read serves further scrapes.
	freshness = time.Second
)

// source reads a state, once for all who ask within a second.
type source[S any] struct {
	read func(context.Context) (S, error)
	turn chan struct{} // holds a token while somebody has last and at
	last S
	at   time.Time // when last was read; zero before
}

func newSource[S any](read func(context.Context) (S, error)) *source[S] {
	return &source[S]{read: read, turn: make(chan struct{}, 1)}
}

// state returns the state, read now or a moment ago. Who comes meanwhile waits for that.
func (s *source[S]) state(ctx context.Context) (S, error) {
	var none S
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if !s.at.IsZero() && time.Since(s.at) < freshness {
		return s.last, nil
	}
	read, err := s.read(ctx)
	if err != nil {
		return none, err
	}
	s.last, s.at = read, time.Now()
	return read, nil
}
