package stardust

import (
	"runtime"
	"testing"
)

// bytesAllocated returns how many bytes f allocates, about.
func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Counts that announce more than follows must not be believed: what a parser allocates is bounded by
// what it was given.
func TestParseAllocations(t *testing.T) {
	transaction := func(inputs, outputs int) []byte {
		b := []byte{2, 1}
		b = append(b, make([]byte, 32)...)
		b = le.AppendUint32(b, 1<<31)
		b = le.AppendUint32(b, TypeTransaction)
		b = le.AppendUint64(append(b, 1), 0)
		b = le.AppendUint16(b, uint16(inputs))
		for i := range min(inputs, 2) {
			b = append(b, make([]byte, 33)...)
			b = le.AppendUint16(b, uint16(i))
		}
		if outputs > 0 {
			b = append(b, make([]byte, 32)...)
			b = le.AppendUint16(b, uint16(outputs))
			b = append(b, OutputBasic, 1, 0, 0, 0, 0, 0, 0, 0, 64)
		}
		return b
	}
	for name, raw := range map[string][]byte{
		"inputs":  transaction(MaxInputs, 0),
		"outputs": transaction(2, MaxOutputs),
		"data":    append(append([]byte{2, 1}, make([]byte, 32)...), 0xff, 0xff, 0, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff),
	} {
		used := bytesAllocated(func() {
			if _, err := ParseBlock(raw); err == nil {
				t.Errorf("%s: parsed", name)
			}
		})
		if used > 64*uint64(len(raw))+4096 {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(raw))
		}
	}
}
