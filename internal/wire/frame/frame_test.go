package frame

import (
	"testing"

	"google.golang.org/grpc/mem"
)

func TestCodecTakesBytesOnly(t *testing.T) {
	var f Bytes
	if err := (Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer("abc")}, &f); err != nil || string(f) != "abc" {
		t.Errorf("%q, %v", f, err)
	}
	if _, err := (Codec{}).Marshal("text"); err == nil {
		t.Error("a string was sent")
	}
	if err := (Codec{}).Unmarshal(nil, "text"); err == nil {
		t.Error("a string was filled")
	}
}
