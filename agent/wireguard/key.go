package wireguard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Keys are a node's private keys. They are made on the node and never leave it.
type Keys struct {
	// Current is the key that peers know.
	Current Key
	// Since is when Current was made.
	Since time.Time
	// Next is the key that a rotation has announced to the peers; zero outside of rotations.
	Next Key
}

// LoadKeys reads the keys from a file, and makes a key when the file doesn't exist. A damaged file is an
// error: with a key of its own making the node would be a stranger to its peers, silently.
func LoadKeys(path string) (Keys, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			return Keys{}, fmt.Errorf("make a WireGuard key: %w", err)
		}
		keys := Keys{Current: k, Since: time.Now().Truncate(time.Second)}
		return keys, keys.Save(path)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("read the WireGuard key: %w", err)
	}
	keys, err := parseKeys(string(b))
	if err != nil {
		return Keys{}, fmt.Errorf("the WireGuard key in %s is damaged: %w: remove the file, and the node makes a new key", path, err)
	}
	return keys, nil
}

// parseKeys reads what Save has written: a key and when it was made on one line, and the next key on another.
func parseKeys(text string) (keys Keys, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	current, since, ok := strings.Cut(lines[0], " ")
	if !ok || len(lines) > 2 {
		return keys, errors.New("it has another form")
	}
	if keys.Current, err = wgtypes.ParseKey(current); err != nil {
		return Keys{}, err
	}
	if keys.Since, err = time.Parse(time.RFC3339, since); err != nil {
		return Keys{}, err
	}
	if len(lines) == 2 {
		if keys.Next, err = wgtypes.ParseKey(lines[1]); err != nil {
			return Keys{}, err
		}
	}
	return keys, nil
}

// Save replaces the file as a whole. Only its owner may read it.
func (k Keys) Save(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("save the WireGuard key: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	text := k.Current.String() + " " + k.Since.UTC().Format(time.RFC3339) + "\n"
	if k.Next != (Key{}) {
		text += k.Next.String() + "\n"
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("save the WireGuard key: %w", err)
	}
	return os.Rename(f.Name(), path)
}

// Announce makes the next key, unless there is one already.
func (k Keys) Announce() (Keys, error) {
	if k.Next != (Key{}) {
		return k, nil
	}
	next, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return k, fmt.Errorf("make a WireGuard key: %w", err)
	}
	k.Next = next
	return k, nil
}

// Switch makes the announced key the current one.
func (k Keys) Switch() Keys {
	if k.Next == (Key{}) {
		return k
	}
	return Keys{Current: k.Next, Since: time.Now().Truncate(time.Second)}
}
