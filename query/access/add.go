package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"permanode/internal/durable"
)

// header begins a new keys file.
const header = "# The keys of the API: docs/access.md. It holds no secret; the service reads it at start and on SIGHUP.\n"

// Add makes a key with 256 bits of entropy, adds its entry to a keys file, and returns the key, which is kept nowhere. It
// makes the file if there is none, and changes nothing in a file with faults. Comments, order, mode, owner and group stay.
func Add(file, name string, role Role) (key string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if role == Anyone || int(role) >= len(roleNames) {
		return "", fmt.Errorf("a key has no role %s", role)
	}
	unlock, err := lock(file)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	text := []byte(header)
	var old []entry
	info, err := os.Stat(file)
	switch {
	case err == nil:
		if text, _, err = readKeys(file); err != nil {
			return "", err
		}
		if old, err = parse(text); err != nil {
			return "", fmt.Errorf("keys file %s: %w", file, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		info = nil
	default:
		return "", fmt.Errorf("keys file: %w", err)
	}
	key, sum := newKey()
	text, err = appendEntry(text, name, sum, role, len(old))
	if err != nil {
		return "", fmt.Errorf("keys file %s: %w", file, err)
	}
	target, err := filepath.EvalSymlinks(file) // a link stays a link
	if errors.Is(err, fs.ErrNotExist) {
		target, err = file, nil
	}
	if err != nil {
		return "", fmt.Errorf("keys file: %w", err)
	}
	if info == nil {
		err = durable.WriteFile(target, text, 0o600)
	} else {
		err = durable.Replace(target, text, info) // the service, which may run as another user, has to read it
	}
	if errors.Is(err, fs.ErrPermission) && info != nil {
		return "", fmt.Errorf("write keys file %s, which stays as it was: %w: run this as the owner of the file, or as root", file, err)
	}
	if err != nil {
		return "", fmt.Errorf("write keys file %s: %w", file, err)
	}
	return key, nil
}

// appendEntry adds an entry to the text of a keys file with count entries.
func appendEntry(text []byte, name, sum string, role Role, count int) ([]byte, error) {
	if len(bytes.TrimSpace(text)) > 0 && bytes.TrimSpace(text)[0] == '[' {
		return appendJSON(text, name, sum, role)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	line := fmt.Sprintf("- {name: %q, sha256: %q, role: %s}\n", name, sum, role)
	text = append(bytes.Clone(text), line...)
	if all, err := parse(text); err != nil || len(all) != count+1 {
		return nil, fmt.Errorf("its layout takes no entry at its end: write each entry as a line of its own that begins with a dash in the first column")
	}
	return text, nil
}

// appendJSON adds an entry to a list in JSON, which has no comments to keep.
func appendJSON(text []byte, name, sum string, role Role) ([]byte, error) {
	type row struct {
		Name   string `json:"name"`
		SHA256 string `json:"sha256"`
		Role   string `json:"role"`
	}
	var rows []row
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("begins like JSON and is none (%w): write a JSON list, or each entry as a line that begins with a dash", err)
	}
	out, err := json.MarshalIndent(append(rows, row{name, sum, role.String()}), "", "  ")
	return append(out, '\n'), err
}

// newKey makes a key, and the hexadecimal SHA-256 that a keys file holds.
func newKey() (key, sum string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	key = "pn_" + base64.RawURLEncoding.EncodeToString(b[:])
	h := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(h[:])
}

// lock keeps a second Add away until unlock: else one of two entries would be lost.
func lock(file string) (unlock func() error, err error) {
	name := file + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there: another command adds a key, or was killed while it did: try again, and remove that file if it stays", name)
	} else if err != nil {
		return nil, fmt.Errorf("write beside keys file %s: %w", file, err)
	}
	return func() error { return errors.Join(f.Close(), os.Remove(name)) }, nil
}
