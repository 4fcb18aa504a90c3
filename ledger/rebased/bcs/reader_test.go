package bcs

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"permanode/ledger"
)

func TestULEB(t *testing.T) {
	for _, v := range []uint32{0, 1, 127, 128, 16383, 16384, 1<<21 - 1, 1 << 21, 1<<28 - 1, 1 << 28, math.MaxUint32} {
		r := NewReader(AppendULEB(nil, v))
		if got := r.ULEB(); got != v || r.End() != nil {
			t.Errorf("%d reads as %d, %v", v, got, r.End())
		}
	}
	for name, raw := range map[string][]byte{
		"nothing":        {},
		"no end":         {0x80},
		"zero, longer":   {0x80, 0},
		"one, longer":    {0x81, 0x80, 0},
		"33 bits":        {0xff, 0xff, 0xff, 0xff, 0x1f},
		"36 bits":        {0xff, 0xff, 0xff, 0xff, 0x7f},
		"five and more":  {0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"five, zero end": {0x80, 0x80, 0x80, 0x80, 0},
	} {
		r := NewReader(raw)
		if v := r.ULEB(); v != 0 || !errors.Is(r.End(), ledger.ErrSyntax) {
			t.Errorf("%s: %d, %v", name, v, r.End())
		}
	}
}

func TestLen(t *testing.T) {
	r := NewReader(AppendULEB(nil, MaxLen+1))
	if r.Len(0); r.Err() == nil {
		t.Error("a length above 2^31-1 is taken")
	}
	r = NewReader(append(AppendULEB(nil, 4), make([]byte, 11)...))
	if n := r.Len(3); n != 0 || r.Err() == nil {
		t.Errorf("%d elements of 3 bytes in 11", n)
	}
	r = NewReader(append(AppendULEB(nil, 4), make([]byte, 12)...))
	if n := r.Len(3); n != 4 || r.Err() != nil {
		t.Errorf("%d, %v", n, r.Err())
	}
}

func TestFirstErrorStays(t *testing.T) {
	r := NewReader([]byte{2, 1, 2, 3, 4, 5, 6, 7, 8})
	r.Bool()
	if r.U64() != 0 || r.Remaining() != 0 || r.String() != "" || r.Fixed(1) != nil || r.Variant("E", 9) != 0 || r.From(0) != nil {
		t.Error("what follows an error is not zero")
	}
	var syntax *SyntaxError
	if !errors.As(r.End(), &syntax) || syntax.Offset != 0 {
		t.Errorf("%v", r.End())
	}
	r.Seek(1)
	if r.U64() != 0x0807060504030201 || r.End() != nil {
		t.Errorf("after a seek: %v", r.End())
	}
	for _, off := range []int{-1, 10} {
		if r.Seek(off); r.Err() == nil || r.Fixed(0) != nil {
			t.Errorf("seek to %d", off)
		}
	}
	if NewReader([]byte{1}).End() == nil {
		t.Error("a byte too many is taken")
	}
}

func TestVariant(t *testing.T) {
	r := NewReader([]byte{0, 0x80, 1})
	r.U8()
	r.Variant("Kind", 128)
	var unknown *UnknownError
	if !errors.As(r.Err(), &unknown) || *unknown != (UnknownError{"Kind", 128, 1}) || !errors.Is(r.Err(), ledger.ErrSyntax) {
		t.Errorf("%v", r.Err())
	}
	r = NewReader([]byte{0x80, 1})
	if v := r.Variant("Kind", 129); v != 128 || r.End() != nil {
		t.Errorf("%d, %v", v, r.End())
	}
}

func TestDepth(t *testing.T) {
	r := NewReader(nil)
	for range MaxDepth {
		if !r.Enter() {
			t.Fatal(r.Err())
		}
	}
	r.Leave()
	if !r.Enter() || r.Enter() || !errors.Is(r.Err(), ledger.ErrSyntax) {
		t.Errorf("at %d levels: %v", MaxDepth, r.Err())
	}
}

// TestAllocation: a claimed length costs nothing, and a skimmer keeps nothing.
func TestAllocation(t *testing.T) {
	claim := append(AppendULEB(nil, 1<<20), make([]byte, 1<<20)...)
	claim[len(claim)/2] = 9 // no bool
	read := func(r *Reader) [64]byte {
		r.Bool()
		return [64]byte{}
	}
	if n := testing.AllocsPerRun(10, func() {
		r := NewSkimmer(claim)
		if List(r, 1, read) != nil || r.Err() == nil {
			t.Error("no error")
		}
	}); n > 4 {
		t.Errorf("%v allocations", n)
	}
	text := AppendString(nil, "text")
	if s := NewSkimmer(text); s.String() != "" || s.End() != nil || !s.Skim() {
		t.Error("a skimmer keeps a string")
	}
	if s := NewSkimmer(append([]byte{1}, text...)); Opt(s, (*Reader).String) != nil || s.End() != nil {
		t.Error("a skimmer keeps a pointer")
	}
}

func TestShared(t *testing.T) {
	raw := []byte{3, 1, 2, 3, 4}
	r := NewReader(raw)
	b := r.Bytes()
	if &b[0] != &raw[1] || cap(b) != 3 || !bytes.Equal(r.From(0), raw[:4]) {
		t.Error("bytes do not share the input's memory, or reach behind their end")
	}
	if empty := NewReader([]byte{0}).Bytes(); empty == nil {
		t.Error("empty bytes are nil")
	}
}
