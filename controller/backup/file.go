package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Save makes a file that only its owner can read, from what write writes. The file appears when it is whole and has been
// read again; a file that exists is kept.
func Save(path string, write func(io.Writer) error) (b Backup, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return b, err
	}
	if b, err = Load(f.Name()); err != nil {
		return b, err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename it replaces nothing
		return b, fmt.Errorf("the backup is not kept: %w", err)
	}
	return b, nil
}

// Load reads a file.
func Load(path string) (b Backup, err error) {
	f, err := os.Open(path)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if b, err = Read(f); err != nil {
		return Backup{}, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
