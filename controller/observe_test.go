package controller_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// answering is a roamer that answers questions with its name, over and over in as many parts as are told; with more parts than
// anybody reads, until nobody listens.
func (r *roamer) answering(parts int, begun chan<- string) (ended func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{}, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		r.up.TakeQuestions(ctx, func(ctx context.Context, q *weftv1.Question, send func(*weftv1.AnswerRequest) error) error {
			begun <- string(r.name)
			for i := range parts {
				part := &weftv1.InspectPart{Flows: []byte(fmt.Sprintf("%s-%d,%s", r.name, i, strings.Repeat(" ", 1000)))}
				if err := send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Inspect{Inspect: part}}); err != nil {
					<-ctx.Done()
					left <- struct{}{}
					return err
				}
			}
			return nil
		}, slog.New(slog.NewTextHandler(r.t.Output(), nil)))
	})
	r.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return func() error {
		select {
		case <-left:
			return nil
		case <-time.After(patience):
			return errors.New("the node goes on")
		}
	}
}

// inspect asks a controller about nodes, and returns each one's texts joined, or its error.
func inspect(ctx context.Context, p *process, nodes ...string) (map[string]string, error) {
	stream, err := p.admin.Observe.Inspect(ctx, connect.NewRequest(&weftv1.InspectRequest{Nodes: nodes}))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	out := map[string]string{}
	for stream.Receive() {
		m := stream.Msg()
		out[m.Node] += strings.TrimSpace(string(m.GetPart().GetFlows()))
		if m.Last {
			out[m.Node] += "." + m.Error
		}
	}
	return out, stream.Err()
}

// TestObserveCluster: a user asks any controller, and hears of every node, whichever it is connected to.
func TestObserveCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.eventually("the first apply", func(ctx context.Context, p *process) error {
		_, err := p.admin.Intent.Apply(ctx, connect.NewRequest(&weftv1.ApplyRequest{Files: files(acme)}))
		return err
	})
	begun := make(chan string, 100)
	var nodes []*roamer
	for i := range 4 {
		nodes = append(nodes, c.roam(fmt.Sprintf("n%d", i+1), fmt.Sprintf("192.0.2.%d", i+1)))
	}
	for _, r := range nodes[:3] {
		r.answering(2, begun)
	}
	for _, p := range c.controllers {
		c.until("all nodes answer "+p.cfg.Name, func(ctx context.Context) error {
			got, err := inspect(ctx, p)
			for _, n := range []string{"n1", "n2", "n3"} {
				if got[n] != n+"-0,"+n+"-1,." {
					return fmt.Errorf("%v %w", got, err)
				}
			}
			if !strings.Contains(got["n4"], "takes no questions: its agent (test) may be older") || len(got) != 4 {
				return fmt.Errorf("%v %w", got, err)
			}
			return err
		})
	}
	got, err := inspect(t.Context(), c.controllers[0], "n1", "ghost", "n1")
	if err != nil || got["ghost"] != ".there is no such node" || got["n1"] != "n1-0,n1-1,." || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
	_, err = inspect(t.Context(), c.controllers[0], "not/a/name")
	wantCode(t, err, connect.CodeInvalidArgument)
}

// TestObserveDeaths: the user leaves, the controller between dies, the node's controller dies: nobody waits for nobody.
func TestObserveDeaths(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.eventually("the first apply", func(ctx context.Context, p *process) error {
		_, err := p.admin.Intent.Apply(ctx, connect.NewRequest(&weftv1.ApplyRequest{Files: files(acme)}))
		return err
	})
	r := c.roam("n1", "192.0.2.1")
	begun := make(chan string, 100)
	left := r.answering(1<<30, begun)
	// The controller that the node begins with is found by who is asked directly.
	ask := func(p *process) (stop func(), heard chan map[string]string) {
		heard = make(chan map[string]string, 1)
		ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
		go func() {
			defer cancel()
			got, _ := inspect(ctx, p, "n1") // what was heard before the error counts
			heard <- got
		}()
		return cancel, heard
	}
	// asked asks until the node is at it.
	asked := func(p *process) (stop func(), heard chan map[string]string) {
		c.until("n1 is asked by "+p.cfg.Name, func(context.Context) error {
			stop, heard = ask(p)
			select {
			case <-begun:
				return nil
			case got := <-heard:
				return fmt.Errorf("%v", got)
			}
		})
		return stop, heard
	}
	for _, p := range c.controllers {
		stop, heard := asked(p)
		stop() // the user leaves
		<-heard
		if err := left(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // once one who passes on dies, or the node's, and then another one
		stop, heard := asked(c.controllers[0])
		victim := c.controllers[1]
		c.controllers = append(c.controllers[:1], c.controllers[2:]...)
		victim.kill()
		select {
		case got := <-heard: // it was the node's
			if !strings.Contains(got["n1"], ".by way of controller "+victim.cfg.Name+": ") {
				t.Errorf("heard %.200q", got["n1"])
			}
		case <-time.After(2 * time.Second): // it was not
			stop()
			<-heard
		}
		if err := left(); err != nil {
			t.Fatal(err)
		}
	}
	asked(c.controllers[0])
	c.controllers[0].kill() // the user's own
	if err := left(); err != nil {
		t.Error(err)
	}
}
