package join_test

import (
	"strings"
	"testing"

	"github.com/weftfabric/weft/wire/join"
)

func sample() join.Token {
	t := join.Token{ID: "00c0ffee01"}
	for i := range t.Secret {
		t.Secret[i] = byte(i)
	}
	t.CA[0] = 0xfe
	return t
}

func TestTokenRoundTrip(t *testing.T) {
	want := sample()
	got, err := join.ParseToken(" " + want.String() + "\n")
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseTokenRefuses(t *testing.T) {
	good := sample().String()
	parts := strings.Split(good, ".")
	for name, s := range map[string]string{
		"empty":           "",
		"another version": strings.Replace(good, "weft1", "weft2", 1),
		"a part missing":  strings.Join(parts[:3], "."),
		"a part more":     good + ".x",
		"a path as id":    strings.Replace(good, parts[1], "../../pki/", 1),
		"a short id":      strings.Replace(good, parts[1], parts[1][2:], 1),
		"a short secret":  strings.Replace(good, parts[2], parts[2][1:], 1),
		"a short CA":      good[:len(good)-2],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := join.ParseToken(s)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), parts[2]) {
				t.Error("the error holds the secret")
			}
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(sample().String())
	f.Add("weft1...")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := join.ParseToken(s)
		if err != nil {
			return
		}
		if again, err := join.ParseToken(token.String()); err != nil || again != token {
			t.Errorf("%q: %v", s, err)
		}
	})
}
