package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"sync"
)

// maxLine is the longest request or answer, in bytes.
const maxLine = 4 << 20

// ServeStream answers the requests of one connection to the lab until it ends. Lines that are no requests
// are skipped: a serial line can begin in the middle of one.
func (r *Responder) ServeStream(ctx context.Context, stream io.ReadWriter, parallel int) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	steady := newTraffics(ctx)
	defer steady.wg.Wait()
	defer cancel()

	var mu sync.Mutex
	slots := make(chan struct{}, parallel)
	in := bufio.NewScanner(stream)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for in.Scan() {
		var req Request
		if json.Unmarshal(in.Bytes(), &req) != nil || req.ID == "" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			line, err := json.Marshal(r.answer(ctx, req, steady))
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			_, _ = stream.Write(append(line, '\n')) // the lab waits with a deadline
		})
	}
	return in.Err()
}

func (r *Responder) answer(ctx context.Context, req Request, steady *traffics) Answer {
	switch {
	case req.Send != nil:
		reply := SendProbe(ctx, *req.Send)
		return Answer{ID: req.ID, Reply: &reply}
	case req.Seen != nil:
		return Answer{ID: req.ID, Tokens: r.takeSeen()}
	case req.Raw != nil:
		if err := sendFrame(*req.Raw); err != nil {
			return Answer{ID: req.ID, Error: err.Error()}
		}
		return Answer{ID: req.ID}
	case req.Begin != nil:
		if err := steady.begin(*req.Begin); err != nil {
			return Answer{ID: req.ID, Error: err.Error()}
		}
		return Answer{ID: req.ID}
	case req.Look != nil:
		tally, err := steady.look(*req.Look)
		if err != nil {
			return Answer{ID: req.ID, Error: err.Error()}
		}
		return Answer{ID: req.ID, Tally: &tally}
	case req.Run != nil && len(req.Run.Args) > 0:
		out, err := run(ctx, *req.Run)
		if err != nil {
			return Answer{ID: req.ID, Error: err.Error()}
		}
		return Answer{ID: req.ID, Output: &out}
	}
	return Answer{ID: req.ID, Error: "the request asks for nothing known"}
}

func run(ctx context.Context, r Run) (Output, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	text, err := exec.CommandContext(ctx, r.Args[0], r.Args[1:]...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return Output{Text: string(text), Code: exit.ExitCode()}, nil
	case err != nil:
		return Output{}, err
	}
	return Output{Text: string(text)}, nil
}
