package rebased

import (
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// BenchmarkSplit splits the largest checkpoint file among the vectors.
func BenchmarkSplit(b *testing.B) {
	chk := largest(b)
	b.SetBytes(int64(len(chk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := SplitCheckpoint(chk); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse reads and hashes every part of its records.
func BenchmarkParse(b *testing.B) {
	chk := largest(b)
	_, raws := split(b, chk)
	b.SetBytes(int64(len(chk)))
	b.ReportAllocs()
	for b.Loop() {
		for _, raw := range raws {
			parts, err := ParseRaw(raw)
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range parts {
				parsePart(b, p)
			}
		}
	}
}

func parsePart(b *testing.B, p ledger.Part) {
	var err error
	switch p.Kind {
	case ledger.PartObject:
		var s *SenderSigned
		if s, err = ParseSenderSigned(p.Raw); err == nil {
			TransactionDigest(s.Raw)
		}
	case ledger.PartEffects:
		_, err = ParseEffects(p.Raw)
		EffectsDigest(p.Raw)
	case ledger.PartEvents:
		_, err = ParseEvents(p.Raw)
		EventsDigest(p.Raw)
	default:
		_, err = ParseObject(p.Raw)
		ObjectDigest(p.Raw)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkUnknown looks for the end of a value by its digest; a byte is a length tried.
func BenchmarkUnknown(b *testing.B) {
	raw := make([]byte, 64<<10)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		s := &splitter{chk: raw, r: bcs.NewSkimmer(raw), budget: len(raw)}
		if _, err := s.end(saltObject, skimObject, Digest{}.is); err == nil {
			b.Fatal("found")
		}
	}
}

func largest(b *testing.B) (chk []byte) {
	for _, f := range checkpointFiles(b) {
		if len(f.raw) > len(chk) {
			chk = f.raw
		}
	}
	return chk
}
