// Package eras is the one place that knows every era's codec, and the trust files that come with the
// program. It decides nothing: whoever needs an era asks by its name, as a trust file or store gives it.
package eras

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"permanode/ledger"
	"permanode/ledger/canonical"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
)

// All lists the eras that this program can prove, oldest first.
var All = []ledger.Era{stardust.Era, rebased.Era}

var codecs = map[ledger.Era]ledger.Codec{stardust.Era: stardust.Codec{}, rebased.Era: rebased.Codec{}}

// Codec returns the codec of an era; false if there is none.
func Codec(era ledger.Era) (ledger.Codec, bool) {
	c, ok := codecs[era]
	return c, ok
}

// ParseTrust reads a trust file of any era by the codec of the era that it names. Errors wrap
// [ledger.ErrTrust] and name the field.
func ParseTrust(raw []byte) (ledger.Trust, error) {
	v, err := canonical.Parse(raw)
	if err != nil {
		return ledger.Trust{}, fmt.Errorf("%w: %w", ledger.ErrTrust, err)
	}
	o, _ := v.(canonical.Object)
	era, ok := o["era"].(canonical.String)
	if !ok {
		return ledger.Trust{}, fmt.Errorf("%w: era: is missing", ledger.ErrTrust)
	}
	c, ok := codecs[ledger.Era(era)]
	if !ok {
		return ledger.Trust{}, fmt.Errorf("%w: era: %q is not known; this program knows %v", ledger.ErrTrust, string(era), All)
	}
	return c.ParseTrust(raw)
}

//go:embed *.json
var builtIn embed.FS

// BuiltIn returns the bytes of a trust file that comes with the program; false if there is none of that
// name. What each was checked against stands in docs/trust.md.
func BuiltIn(name string) ([]byte, bool) {
	if !slices.Contains(BuiltInNames(), name) {
		return nil, false
	}
	raw, err := builtIn.ReadFile(name + ".json")
	return raw, err == nil
}

// BuiltInNames lists the names of the trust files that come with the program, sorted.
func BuiltInNames() (names []string) {
	files, err := builtIn.ReadDir(".")
	if err != nil {
		return nil // cannot be: the folder is part of the program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".json"))
	}
	return names
}
