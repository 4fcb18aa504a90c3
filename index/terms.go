package index

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	index "github.com/blevesearch/bleve_index_api"

	"permanode/index/text"
	"permanode/ledger"
)

// The fields of a document. Each holds a set of terms, without frequencies and places.
const (
	fieldWord  = "w" // words, and pairs of neighbours in scripts without spaces
	fieldLeaf  = "j" // JSON values
	fieldTag   = "t"
	fieldAddr  = "a"
	fieldObj   = "o"
	fieldType  = "y"
	fieldEvent = "e"
	fieldFunc  = "f"
	fieldKind  = "k" // the kind's number as one byte, or unitKind
	fieldState = "s" // the state's number as one byte
	fieldDay   = "d" // YYYYMMDD of the unit's signed time, UTC
)

// unitKind is the term of fieldKind for what a unit did itself.
const unitKind = "unit"

// keyFields are the kinds of postings that a document repeats. All other kinds are looked up in the store.
var keyFields = map[ledger.KeyKind]string{
	ledger.KeyTag: fieldTag, ledger.KeyAddress: fieldAddr, ledger.KeyObject: fieldObj,
	ledger.KeyType: fieldType, ledger.KeyEvent: fieldEvent, ledger.KeyFunction: fieldFunc,
}

// mapping describes the documents; a change of it makes all indexes be made again.
const mapping = "scorch zap 17, w60 with filter 6/3, j128 t a o y e f k s d, 1"

// mappingVersion names the folder of an index: documents of another one cannot be compared.
func mappingVersion() string {
	b := binary.BigEndian.AppendUint32([]byte(mapping), text.Version)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(b, ledger.FactsVersion))
	return hex.EncodeToString(sum[:6])
}

// The longest terms of words and of everything else. A longer value keeps its beginning and ends in a hash, so that
// equality stays exact; it is longer than any that was not cut.
const (
	wordLimit  = 60
	valueLimit = 128
	hashLen    = 32
)

// cut returns the term of a value.
func cut(v string, limit int) string {
	if len(v) <= limit {
		return v
	}
	sum := sha256.Sum256([]byte(v))
	return v[:kept(limit)] + hex.EncodeToString(sum[:hashLen/2])
}

// kept is how much of its value a cut term keeps.
func kept(limit int) int { return limit - hashLen/2 }

// isCut reports whether a term stands for a longer value.
func isCut(term string, limit int) bool { return len(term) > limit }

// Terms of keys begin with a byte of their own, because a value may be empty, and hold no 0xff, which separates the
// values of a document. What is a beginning of a value stays one.
var (
	keyEscape   = strings.NewReplacer("\xff", "\xfe\x01", "\xfe", "\xfe\x02")
	keyUnescape = strings.NewReplacer("\xfe\x01", "\xff", "\xfe\x02", "\xfe")
)

// keyValue returns what stands for a key's value before it is cut.
func keyValue(val string) string { return "=" + keyEscape.Replace(val) }

// keyOf is the inverse of keyValue.
func keyOf(value string) string { return keyUnescape.Replace(strings.TrimPrefix(value, "=")) }

// leafValue returns what stands for a JSON value before it is cut: the length of the path comes first, so that no
// sign is needed between path and value.
func leafValue(path, value string) string {
	b := binary.AppendUvarint(make([]byte, 0, len(path)+len(value)+2), uint64(len(path)))
	return string(append(append(b, path...), value...))
}

// once is the frequency of every term: none is counted.
var once = &index.TokenFreq{}

// addWords adds the terms of a text: its words, and each two neighbours that are characters of scripts without
// spaces, joined.
func addWords(terms index.TokenFrequencies, words []string) {
	for i, w := range words {
		terms[cut(w, wordLimit)] = once
		if i > 0 && joined(words[i-1], w) {
			terms[words[i-1]+w] = once
		}
	}
}

// joined reports whether two words that stand side by side have a term of their own.
func joined(a, b string) bool { return text.Spaceless(a) && text.Spaceless(b) }
