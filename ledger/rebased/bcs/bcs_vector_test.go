package bcs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased/bcs"
)

type primitive struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
	Hex   ledgertest.Hex  `json:"hex"`
	Why   string          `json:"why"`
}

// form reads a value of a type as text, and appends the same value again.
type form func(r *bcs.Reader) (text string, again []byte)

func number[T uint8 | uint16 | uint32 | uint64](read func(*bcs.Reader) T, appendTo func([]byte, T) []byte) form {
	return func(r *bcs.Reader) (string, []byte) {
		v := read(r)
		return fmt.Sprint(v), appendTo(nil, v)
	}
}

// wide reads an integer of n bytes.
func wide(n int) form {
	return func(r *bcs.Reader) (string, []byte) {
		b := bytes.Clone(r.Fixed(n))
		v := new(big.Int)
		for i := range b {
			v.SetBit(v, 0, 0).Lsh(v, 8).Add(v, big.NewInt(int64(b[len(b)-1-i])))
		}
		return v.String(), b
	}
}

func readString(r *bcs.Reader) string { return r.String() }
func readBytes(r *bcs.Reader) []byte  { return r.Bytes() }

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// numbers is bytes that JSON shows as a list of numbers.
type numbers []byte

func (n numbers) MarshalJSON() ([]byte, error) {
	return []byte(strings.ReplaceAll(strings.TrimSuffix(fmt.Sprint([]byte(n)), "\n"), " ", ",")), nil
}

var forms = map[string]form{
	"uleb128": number((*bcs.Reader).ULEB, bcs.AppendULEB),
	"u8":      number((*bcs.Reader).U8, func(dst []byte, v uint8) []byte { return append(dst, v) }),
	"u16":     number((*bcs.Reader).U16, bcs.AppendU16),
	"u32":     number((*bcs.Reader).U32, bcs.AppendU32),
	"u64":     number((*bcs.Reader).U64, bcs.AppendU64),
	"u128":    wide(16),
	"u256":    wide(32),
	"bool": func(r *bcs.Reader) (string, []byte) {
		v := r.Bool()
		return fmt.Sprint(v), bcs.AppendBool(nil, v)
	},
	"string": func(r *bcs.Reader) (string, []byte) {
		v := r.String()
		return asJSON(v), bcs.AppendString(nil, v)
	},
	"option<u64>": func(r *bcs.Reader) (string, []byte) {
		v := bcs.Opt(r, (*bcs.Reader).U64)
		return asJSON(v), bcs.AppendOpt(nil, v, bcs.AppendU64)
	},
	"option<string>": func(r *bcs.Reader) (string, []byte) {
		v := bcs.Opt(r, readString)
		return asJSON(v), bcs.AppendOpt(nil, v, bcs.AppendString)
	},
	"vector<u8>": func(r *bcs.Reader) (string, []byte) {
		v := r.Bytes()
		return asJSON(numbers(v)), bcs.AppendBytes(nil, v)
	},
	"vector<vector<u8>>": func(r *bcs.Reader) (string, []byte) {
		v := bcs.List(r, 1, readBytes)
		var show []numbers
		for _, b := range v {
			show = append(show, b)
		}
		return asJSON(show), bcs.AppendList(nil, v, bcs.AppendBytes)
	},
	"vector<string>": func(r *bcs.Reader) (string, []byte) {
		v := bcs.List(r, 1, readString)
		return asJSON(v), bcs.AppendList(nil, v, bcs.AppendString)
	},
	"(u16,u16) tuple": func(r *bcs.Reader) (string, []byte) {
		a, b := r.U16(), r.U16()
		return asJSON([]uint16{a, b}), bcs.AppendU16(bcs.AppendU16(nil, a), b)
	},
}

// elsewhere are types that package rebased tests.
var elsewhere = map[string]bool{"TypeTag": true, "Digest": true}

func TestPrimitivesVector(t *testing.T) {
	for _, v := range ledgertest.Load[primitive](t, "rebased/bcs_primitives.json", "vectors") {
		read, ok := forms[v.Type]
		if !ok {
			if !elsewhere[v.Type] {
				t.Errorf("%s: not tested", v.Type)
			}
			continue
		}
		r := bcs.NewReader(v.Hex)
		text, again := read(r)
		var want bytes.Buffer
		if err := json.Compact(&want, v.Value); err != nil {
			t.Fatal(err)
		}
		if err := r.End(); err != nil || strings.Trim(text, `"`) != strings.Trim(want.String(), `"`) {
			t.Errorf("%s %s reads as %s, %v; want %s", v.Type, v.Hex, text, err, want.String())
		}
		if !bytes.Equal(again, v.Hex) {
			t.Errorf("%s %s re-encodes to %x", v.Type, v.Hex, again)
		}
		for n := range v.Hex {
			r := bcs.NewReader(v.Hex[:n])
			if read(r); !errors.Is(r.End(), ledger.ErrSyntax) {
				t.Errorf("%s: the first %d bytes of %s are taken", v.Type, n, v.Hex)
			}
		}
		s := bcs.NewSkimmer(v.Hex)
		if read(s); s.End() != nil {
			t.Errorf("%s %s skimmed: %v", v.Type, v.Hex, s.End())
		}
	}
}

func TestPrimitivesRejectVector(t *testing.T) {
	for _, v := range ledgertest.Load[primitive](t, "rebased/bcs_primitives.json", "must_reject") {
		read, ok := forms[v.Type]
		if !ok {
			if !elsewhere[v.Type] {
				t.Errorf("%s: not tested", v.Type)
			}
			continue
		}
		for _, r := range []*bcs.Reader{bcs.NewReader(v.Hex), bcs.NewSkimmer(v.Hex)} {
			if read(r); !errors.Is(r.End(), ledger.ErrSyntax) {
				t.Errorf("%s %s is taken: %s", v.Type, v.Hex, v.Why)
			}
		}
	}
}
