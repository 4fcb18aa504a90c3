package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	yaml "go.yaml.in/yaml/v3"

	"permanode/internal/durable"
)

const (
	maxFile  = 1 << 20
	maxKeys  = 4096 // each request is compared with all of them
	maxName  = 64
	nameRule = "1 to 64 of a-z A-Z 0-9 . _ - and begins with a letter or digit"
)

// Keys are the entries of a keys file.
type Keys struct {
	file    string
	current atomic.Pointer[keySet]
}

// keySet is what was read of a file at one time. It never changes.
type keySet struct {
	entries  []entry
	warnings []string
}

type entry struct {
	name string
	sum  [sha256.Size]byte
	role Role
}

// LoadKeys reads a keys file. Its error holds everything that is wrong with the file: which entry, why, and what to do.
func LoadKeys(file string) (*Keys, error) {
	k := &Keys{file: file}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again. A key that is in it no more is refused from the next request on. After an error the
// entries are as before.
func (k *Keys) Reload() error {
	text, warnings, err := readKeys(k.file)
	if err != nil {
		return err
	}
	entries, err := parse(text)
	if err != nil {
		return fmt.Errorf("keys file %s: %w", k.file, err)
	}
	k.current.Store(&keySet{entries, warnings})
	return nil
}

// Len returns the number of entries.
func (k *Keys) Len() int { return len(k.current.Load().entries) }

// Warnings returns what is not wrong with the file and yet no good, for the log.
func (k *Keys) Warnings() []string { return k.current.Load().warnings }

// find returns the entry of a key, nil if there is none. It always compares with all entries, each in constant time.
func (k *Keys) find(token string) (found *entry) {
	sum := sha256.Sum256([]byte(token))
	all := k.current.Load().entries
	at := -1
	for i := range all {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], all[i].sum[:]), i, at)
	}
	if at < 0 {
		return nil
	}
	return &all[at]
}

// readKeys returns the text of a keys file, and what its permissions give away.
func readKeys(file string) (text []byte, warnings []string, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, fmt.Errorf("keys file: %w: permanode key new --name NAME --role reader --file %s makes one", err, file)
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for
		return nil, nil, fmt.Errorf("keys file %s is no plain file", file)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, nil, fmt.Errorf("keys file %s can be written by everybody, who could so give himself any role: chmod 600 %s", file, file)
	}
	if info.Mode().Perm()&0o004 != 0 {
		warnings = append(warnings, fmt.Sprintf("keys file %s can be read by everybody on this machine: chmod 600 %s", file, file))
	}
	f, err := durable.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("keys file: %w", err)
	}
	defer f.Close()
	text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("keys file: %w", err)
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("keys file %s has more than %d bytes: a list of %d keys is smaller", file, maxFile, maxKeys)
	}
	return text, warnings, nil
}

const shape = "write a list of entries like - {name: ledger-team, sha256: 64 hexadecimal digits, role: reader}"

// parse reads the list. Its error joins all problems.
func parse(text []byte) ([]entry, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("is empty, so that nobody could ask: %s", shape)
	} else if err != nil {
		return nil, fmt.Errorf("is no YAML or JSON (%w): %s", err, shape)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("holds more than one document: %s", shape)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	if len(doc.Content) > 0 { // else there are comments only
		list = doc.Content[0]
	}
	switch {
	case list.Kind == yaml.ScalarNode && list.Tag == "!!null", list.Kind == yaml.SequenceNode && len(list.Content) == 0:
		return nil, fmt.Errorf("has no entry, so that nobody could ask: %s", shape)
	case list.Kind != yaml.SequenceNode:
		return nil, fmt.Errorf("is no list: %s", shape)
	case len(list.Content) > maxKeys:
		return nil, fmt.Errorf("has %d entries, the most is %d: give one key to a group, or put a proxy in front", len(list.Content), maxKeys)
	}
	var all []entry
	var errs error
	seen := map[[sha256.Size]byte]int{}
	for i, n := range list.Content {
		e, err := parseEntry(n)
		if other, twice := seen[e.sum]; err == nil && twice {
			err = fmt.Errorf("entry %d (line %d): has the sha256 of entry %d: a key has one entry; make another with permanode key new", i+1, n.Line, other)
		} else if err != nil {
			err = fmt.Errorf("entry %d (line %d): %w", i+1, n.Line, err)
		}
		seen[e.sum] = i + 1
		errs = errors.Join(errs, err)
		all = append(all, e)
	}
	if errs != nil {
		return nil, errs
	}
	return all, nil
}

// parseEntry reads one entry, and reports all that is wrong with it.
func parseEntry(n *yaml.Node) (e entry, err error) {
	if n.Kind != yaml.MappingNode {
		return e, fmt.Errorf("is no {name, sha256, role}: %s", shape)
	}
	given := map[string]string{}
	var wrong []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		_, twice := given[key]
		switch {
		case key != "name" && key != "sha256" && key != "role":
			wrong = append(wrong, fmt.Sprintf("member %s is unknown: an entry has name, sha256 and role", quote(key)))
		case twice:
			wrong = append(wrong, key+" is there twice: leave one")
		case value.Kind != yaml.ScalarNode:
			wrong = append(wrong, key+" is no text")
		}
		given[key] = value.Value
	}
	for _, m := range []struct {
		name string
		read func(string) error
	}{
		{"name", func(text string) error { e.name = text; return checkName(text) }},
		{"sha256", func(text string) (err error) { e.sum, err = parseSum(text); return err }},
		{"role", func(text string) (err error) { e.role, err = ParseRole(text); return err }},
	} {
		text, there := given[m.name]
		if !there {
			wrong = append(wrong, m.name+" is missing")
		} else if err := m.read(text); err != nil {
			wrong = append(wrong, m.name+": "+err.Error())
		}
	}
	if len(wrong) > 0 {
		return entry{sum: e.sum}, errors.New(strings.Join(wrong, "; "))
	}
	return e, nil
}

func parseSum(text string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("is not 64 hexadecimal digits (it has %d characters): take what permanode key new wrote, or printf %%s KEY | sha256sum", len(text))
	}
	copy(sum[:], raw)
	if sum == sha256.Sum256(nil) || sum == sha256.Sum256([]byte("\n")) {
		return sum, errors.New("is the hash of nothing: take printf %s KEY | sha256sum")
	}
	return sum, nil
}

func checkName(text string) error {
	ok := text != "" && len(text) <= maxName && !strings.ContainsAny(text[:1], ".-_")
	for _, r := range text {
		ok = ok && !notToken(r) && !strings.ContainsRune("~+/=", r)
	}
	if !ok {
		return fmt.Errorf("%s is no name: a name has %s", quote(text), nameRule)
	}
	return nil
}
