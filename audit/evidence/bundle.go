package evidence

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The files that every bundle has.
const (
	manifestName  = "evidence.json"
	signatureName = "signature"
	ReportName    = "report.json"
	PageName      = "report.html"
	VerifiedName  = "verification.json" // only when nodes were verified
)

// maxFile bounds a file of a bundle, and maxFiles their number.
const (
	maxFile  = 1 << 30
	maxFiles = 10_000
)

// signed starts what is signed, so that the signature is good for nothing else.
const signed = "weft audit evidence v1\x00"

// ErrTampered says that a bundle is not what was sealed.
var ErrTampered = errors.New("the bundle was changed, or another key signed it")

// Content is a file with what it holds.
type Content struct {
	Name string
	Data []byte
}

// Bundle is an opened bundle.
type Bundle struct {
	Manifest Manifest
	Contents []Content // as the manifest lists them
}

// Get returns a file of the bundle, or nil.
func (b Bundle) Get(name string) []byte {
	for _, c := range b.Contents {
		if c.Name == name {
			return c.Data
		}
	}
	return nil
}

// Seal returns a bundle. It fills in the manifest's files and key.
func Seal(m Manifest, contents []Content, key ed25519.PrivateKey) ([]byte, error) {
	m.Files = []File{}
	for _, c := range contents {
		sum := sha256.Sum256(c.Data)
		m.Files = append(m.Files, File{c.Name, len(c.Data), hex.EncodeToString(sum[:])})
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the key is not one of Ed25519")
	}
	var err error
	if m.Key, err = Fingerprint(public); err != nil {
		return nil, err
	}
	manifest, err := m.marshal()
	if err != nil {
		return nil, err
	}
	return archive(manifest, contents, ed25519.Sign(key, append([]byte(signed), manifest...)))
}

// archive writes the one form of a bundle.
func archive(manifest []byte, contents []Content, signature []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, c := range slices.Concat([]Content{{manifestName, manifest}}, contents, []Content{{signatureName, signature}}) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: c.Name, Size: int64(len(c.Data)), Mode: 0o644, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", c.Name, err)
		}
		if _, err := w.Write(c.Data); err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", c.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return b.Bytes(), nil
}

// Open checks a bundle as a whole, against a key, before anything of it counts. An error that is ErrTampered says that the
// bundle can't be trusted; others that it is none.
func Open(data []byte, key ed25519.PublicKey) (Bundle, error) {
	contents, err := unpack(data)
	if err != nil {
		return Bundle{}, err
	}
	if len(contents) < 2 || contents[0].Name != manifestName || contents[len(contents)-1].Name != signatureName {
		return Bundle{}, fmt.Errorf("it is no evidence of weft: it doesn't begin with %s and end with a %s", manifestName, signatureName)
	}
	manifest, signature := contents[0].Data, contents[len(contents)-1].Data
	contents = contents[1 : len(contents)-1]
	if !ed25519.Verify(key, append([]byte(signed), manifest...), signature) {
		return Bundle{}, fmt.Errorf("%w: the signature is not one of this key for this manifest", ErrTampered)
	}
	m, err := parseManifest(manifest)
	if err != nil {
		return Bundle{}, err
	}
	if fingerprint, err := Fingerprint(key); err != nil || m.Key != fingerprint {
		return Bundle{}, fmt.Errorf("%w: the manifest names the key %s", ErrTampered, m.Key)
	}
	if len(m.Files) != len(contents) {
		return Bundle{}, fmt.Errorf("%w: it has %d files, and the manifest lists %d", ErrTampered, len(contents), len(m.Files))
	}
	for i, f := range m.Files {
		sum := sha256.Sum256(contents[i].Data)
		if f.Name != contents[i].Name || f.Bytes != len(contents[i].Data) || f.SHA256 != hex.EncodeToString(sum[:]) {
			return Bundle{}, fmt.Errorf("%w: %s is not what the manifest lists", ErrTampered, contents[i].Name)
		}
	}
	// Bytes outside the files, such as padding, times and owners, are in no hash: the archive must be as archive writes it.
	again, err := archive(manifest, contents, signature)
	if err != nil || !bytes.Equal(again, data) {
		return Bundle{}, fmt.Errorf("%w: the archive is not in the form in which it was written", ErrTampered)
	}
	return Bundle{Manifest: m, Contents: contents}, nil
}

func unpack(data []byte) ([]Content, error) {
	var out []Content
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("it is no archive, or a damaged one: %w", err)
		case h.Typeflag != tar.TypeReg || h.Size > maxFile || len(out) == maxFiles:
			return nil, fmt.Errorf("%q: it has no place in evidence of weft", h.Name)
		}
		c := Content{Name: h.Name}
		if c.Data, err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		out = append(out, c)
	}
}
