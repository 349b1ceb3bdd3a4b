package controller_test

import (
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func TestClientTakesTheServerThatAnswers(t *testing.T) {
	t.Parallel()
	f := start(t)
	credentials, err := apiclient.LoadCredentials(filepath.Join(f.dir, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "https://127.0.0.1:1, "+f.server, credentials) // nobody listens on the first
	if _, err := c.Intent.Info(f.ctx(), connect.NewRequest(&weftv1.InfoRequest{})); err != nil {
		t.Error(err)
	}
	none := newClient(t, "https://127.0.0.1:1,https://127.0.0.1:2", credentials)
	if _, err := none.Intent.Info(f.ctx(), connect.NewRequest(&weftv1.InfoRequest{})); err == nil || !strings.Contains(err.Error(), "127.0.0.1:2") {
		t.Errorf("got %v", err)
	}
}

func TestServersThatAreRefused(t *testing.T) {
	t.Parallel()
	credentials, err := apiclient.LoadCredentials(filepath.Join(start(t).dir, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	for server, want := range map[string]string{
		"http://127.0.0.1":    "write unix:///path",
		"https://":            "write unix:///path",
		"https://a,unix:///b": "write unix:///path",
		"https://a,":          "write unix:///path",
		"https://a/b":         "write unix:///path",
		"unix://relative":     "write unix:///path",
		"https://a b":         "is not a URL",
	} {
		_, err := apiclient.New(server, credentials)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", server, err, want)
		}
	}
	if _, err := apiclient.New("https://a", nil); err == nil || !strings.Contains(err.Error(), "client certificate is needed") {
		t.Errorf("without credentials: %v", err)
	}
}
