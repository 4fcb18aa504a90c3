package iota

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"permanode/ledger/ledgertest"
)

// vectors is grpc_messages.json.
type vectors struct {
	Requests []struct {
		RPC    string `json:"rpc"`
		Fields struct {
			Start *uint64  `json:"start_sequence_number"`
			End   *uint64  `json:"end_sequence_number"`
			Seq   *uint64  `json:"sequence_number"`
			Mask  []string `json:"read_mask"`
			Max   *uint64  `json:"max_message_size_bytes"`
		} `json:"fields"`
		Message []byte `json:"message_b64"`
	} `json:"requests"`
	Responses []struct {
		RPC    string `json:"rpc"`
		Fields struct {
			ChainID ledgertest.Hex `json:"chain_id_hex"`
			Chain   string         `json:"chain"`
			Epoch   *uint64        `json:"epoch"`
			Height  *uint64        `json:"executed_checkpoint_height"`
			Lowest  *uint64        `json:"lowest_available_checkpoint"`
			Objects *uint64        `json:"lowest_available_checkpoint_objects"`
			Server  string         `json:"server"`
			Scanned *uint64        `json:"latest_scanned_sequence_number"`
		} `json:"fields"`
		Message []byte `json:"message_b64"`
	} `json:"responses"`
	Streams []struct {
		Seq      uint64   `json:"sequence_number"`
		Messages [][]byte `json:"messages_b64"`
	} `json:"streams"`
}

func load(t testing.TB) []ledgertest.File[vectors] {
	return ledgertest.Files[vectors](t, "rebased/grpc_messages.json")
}

// Requests are encoded byte for byte as the vectors have them, and read back.
func TestRequestsVector(t *testing.T) {
	for _, file := range load(t) {
		for _, r := range file.Data.Requests {
			var got, again []byte
			switch r.RPC {
			case "StreamCheckpoints":
				m := StreamRequest{Start: r.Fields.Start, End: r.Fields.End, Mask: r.Fields.Mask, MaxMessage: r.Fields.Max}
				got = m.Append(nil)
				back, err := ParseStreamRequest(r.Message)
				if err != nil {
					t.Fatal(err)
				}
				again = back.Append(nil)
			case "GetCheckpoint":
				m := CheckpointRequest{Seq: r.Fields.Seq, Mask: r.Fields.Mask, MaxMessage: r.Fields.Max}
				got = m.Append(nil)
				back, err := ParseCheckpointRequest(r.Message)
				if err != nil {
					t.Fatal(err)
				}
				again = back.Append(nil)
			case "GetServiceInfo":
				got = (&InfoRequest{Mask: r.Fields.Mask}).Append(nil)
				again = got
			default:
				t.Errorf("unknown call %s", r.RPC)
			}
			if !bytes.Equal(got, r.Message) || !bytes.Equal(again, r.Message) {
				t.Errorf("%s: got %x, again %x, want %x", r.RPC, got, again, r.Message)
			}
		}
	}
}

func TestResponsesVector(t *testing.T) {
	for _, file := range load(t) {
		for _, r := range file.Data.Responses {
			switch f := r.Fields; r.RPC {
			case "GetServiceInfo":
				m := ServiceInfo{
					ChainID: f.ChainID, Chain: f.Chain, Epoch: f.Epoch, Height: f.Height, Lowest: f.Lowest,
					LowestObjects: f.Objects, Server: f.Server,
				}
				back, err := ParseServiceInfo(r.Message)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(m.Append(nil), r.Message) || !bytes.Equal(back.Append(nil), r.Message) {
					t.Errorf("got %x, again %x, want %x", m.Append(nil), back.Append(nil), r.Message)
				}
			case "StreamCheckpoints":
				m := CheckpointData{Progress: f.Scanned}
				back, err := ParseCheckpointData(r.Message)
				if err != nil || back.Progress == nil || *back.Progress != *f.Scanned || !bytes.Equal(m.Append(nil), r.Message) {
					t.Errorf("%+v, %v, encoded %x", back, err, m.Append(nil))
				}
			default:
				t.Errorf("unknown call %s", r.RPC)
			}
		}
	}
}

// What a stream holds is read and written again without the loss of a byte.
func TestStreamsVector(t *testing.T) {
	for _, file := range load(t) {
		for _, s := range file.Data.Streams {
			for i, raw := range s.Messages {
				m, err := ParseCheckpointData(raw)
				if err != nil {
					t.Fatalf("checkpoint %d, message %d: %v", s.Seq, i, err)
				}
				if got := m.Append(nil); !bytes.Equal(got, raw) {
					t.Errorf("checkpoint %d, message %d:\n got %.200x\nwant %.200x", s.Seq, i, got, raw)
				}
			}
		}
	}
}

func TestEpochRoundTrip(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	want := Epoch{Epoch: n(3), Members: []Member{{Key: []byte{1, 2}, Weight: 2500}, {Key: []byte{3}}}, First: n(0), Last: n(17)}
	got, err := ParseEpoch(want.Append(nil))
	if err != nil || *got.Epoch != 3 || *got.First != 0 || *got.Last != 17 || len(got.Members) != 2 ||
		!bytes.Equal(got.Members[0].Key, []byte{1, 2}) || got.Members[0].Weight != 2500 || got.Members[1].Weight != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	req, err := ParseEpochRequest((&EpochRequest{Epoch: n(9), Mask: []string{"epoch.committee"}}).Append(nil))
	if err != nil || *req.Epoch != 9 || len(req.Mask) != 1 {
		t.Errorf("%+v, %v", req, err)
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	seq := uint64(7)
	raw := (&CheckpointData{End: &seq}).Append([]byte{
		0xa2, 0x06, 3, 'n', 'e', 'w', // field 100, bytes
		0xa8, 0x06, 1, // field 101, varint
		0xb5, 0x06, 1, 2, 3, 4, // field 102, fixed 32
		0xb9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, // field 103, fixed 64
	})
	m, err := ParseCheckpointData(raw)
	if err != nil || m.End == nil || *m.End != 7 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMalformed(t *testing.T) {
	for name, raw := range map[string][]byte{
		"cut tag":             {0x80},
		"cut length":          {0x0a, 0x80},
		"length beyond":       {0x0a, 5, 1, 2},
		"number for message":  {0x08, 1},
		"two payloads":        {0x2a, 2, 8, 1, 0x22, 2, 8, 1},
		"object without bcs":  {0x12, 6, 0x0a, 4, 0x42, 2, 0x0a, 0},
		"field number 0":      {0x00, 1},
		"group without end":   {0x0b, 1},
		"end of no group":     {0x0c},
		"overlong varint":     {0x2a, 12, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"a text for a number": {0x2a, 4, 0x0a, 2, 1, 2},
	} {
		if _, err := ParseCheckpointData(raw); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message of nothing but empty elements must not become many times larger in memory.
func TestElementsAreBounded(t *testing.T) {
	empty := bytes.Repeat([]byte{0x0a, 0}, 1<<20)
	raw := appendBytes(nil, 2, empty)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ParseCheckpointData(raw)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrMessage) {
		t.Errorf("%d empty transactions are taken: %v", len(empty)/2, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 128<<20 {
		t.Errorf("%d bytes allocated for a message of %d", allocated, len(raw))
	}
}

func FuzzCheckpointData(f *testing.F) {
	for _, file := range load(f) {
		for _, s := range file.Data.Streams {
			for _, raw := range s.Messages {
				if len(raw) < 100 { // the fuzzer minimizes what it finds, which takes it long with kilobytes
					f.Add(raw)
				}
			}
		}
	}
	n := uint64(3)
	f.Add((&CheckpointData{Checkpoint: &Checkpoint{Seq: &n, Summary: []byte{1}, Contents: []byte{2}, Signature: []byte{3}}}).Append(nil))
	f.Add((&CheckpointData{Transactions: []Transaction{{
		Data: []byte{1}, Signatures: [][]byte{{2}}, Effects: []byte{3}, Events: [][]byte{{4}}, Checkpoint: &n, Inputs: [][]byte{{5}}, Outputs: [][]byte{{6}},
	}}}).Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseCheckpointData(raw)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		once := m.Append(nil)
		again, err := ParseCheckpointData(once)
		if err != nil || !bytes.Equal(again.Append(nil), once) {
			t.Fatalf("read again: %v", err)
		}
	})
}

func FuzzRequests(f *testing.F) {
	for _, file := range load(f) {
		for _, r := range file.Data.Requests {
			f.Add(r.Message)
		}
		for _, r := range file.Data.Responses {
			f.Add(r.Message)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		check := func(append1 func([]byte) []byte, again func([]byte) (func([]byte) []byte, error), err error) {
			if err != nil {
				if !errors.Is(err, ErrMessage) {
					t.Fatalf("untyped error: %v", err)
				}
				return
			}
			once := append1(nil)
			append2, err := again(once)
			if err != nil || !bytes.Equal(append2(nil), once) {
				t.Fatalf("read again: %v", err)
			}
		}
		info, err := ParseServiceInfo(raw)
		check(info.Append, func(b []byte) (func([]byte) []byte, error) { m, err := ParseServiceInfo(b); return m.Append, err }, err)
		one, err := ParseCheckpointRequest(raw)
		check(one.Append, func(b []byte) (func([]byte) []byte, error) {
			m, err := ParseCheckpointRequest(b)
			return m.Append, err
		}, err)
		stream, err := ParseStreamRequest(raw)
		check(stream.Append, func(b []byte) (func([]byte) []byte, error) {
			m, err := ParseStreamRequest(b)
			return m.Append, err
		}, err)
		ask, err := ParseEpochRequest(raw)
		check(ask.Append, func(b []byte) (func([]byte) []byte, error) { m, err := ParseEpochRequest(b); return m.Append, err }, err)
		epoch, err := ParseEpoch(raw)
		check(epoch.Append, func(b []byte) (func([]byte) []byte, error) { m, err := ParseEpoch(b); return m.Append, err }, err)
	})
}
