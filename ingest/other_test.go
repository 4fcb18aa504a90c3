package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"permanode/ingest/hornet2"
	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
)

// record writes g as a recording folder. Lines that drop says so of are left out; network may be changed.
func record(t *testing.T, g *tangle, drop func(path string) bool, change func(network map[string]any)) string {
	t.Helper()
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	put := func(path, accept string, body []byte) {
		if drop != nil && drop(path) {
			return
		}
		e := map[string]any{"method": "GET", "path": path, "status": 200, "accept": nil, "contentType": "application/json; charset=UTF-8", "body": string(body)}
		if accept != "" {
			e["accept"], e["contentType"], e["bodyHex"] = accept, accept, hex.EncodeToString(body)
			delete(e, "body")
		}
		if err := json.NewEncoder(z).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	put("/api/core/v2/info", "", g.Info())
	for i, c := range g.cones {
		put(fmt.Sprintf("/api/core/v2/milestones/by-index/%d", i+1), replay.Raw, c.Head)
		for k, raw := range c.Raws {
			id := [32]byte(c.IDs[k].Bytes())
			path := "/api/core/v2/blocks/0x" + hex.EncodeToString(id[:])
			put(path, replay.Raw, raw)
			put(path+"/metadata", "", g.Metadata(id))
		}
	}
	network := map[string]any{"protocol": "stardust", "firstMilestone": 1, "lastMilestone": len(g.cones)}
	trusted(t, g, network)
	if change != nil {
		change(network)
	}
	text, err := json.Marshal(network)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"network.json": text, "rest.jsonl.gz": packed.Bytes(), "genesis_snapshot.bin": g.net.Snapshot()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// trusted writes keys and parameters of g as network.json has them.
func trusted(t *testing.T, g *tangle, network map[string]any) {
	t.Helper()
	var file struct {
		Genesis struct{ Parameters ledgerHex }
		Count   string `json:"key_count"`
		Keys    []struct{ Key, Start, End string }
	}
	if err := json.Unmarshal(g.net.Trust(), &file); err != nil {
		t.Fatal(err)
	}
	p, err := stardust.ParseParameters(file.Genesis.Parameters)
	if err != nil {
		t.Fatal(err)
	}
	network["protocolParameters"] = map[string]any{
		"version": p.Version, "networkName": p.Network, "bech32HRP": p.HRP, "minPoWScore": p.MinPoWScore,
		"belowMaxDepth": p.BelowMaxDepth, "tokenSupply": strconv.FormatUint(p.Supply, 10),
		"rentStructure": map[string]any{"vByteCost": p.VByteCost, "vByteFactorData": p.FactorData, "vByteFactorKey": p.FactorKey},
	}
	number := func(s string) uint64 {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	network["milestonePublicKeyCount"] = number(file.Count)
	var keys []any
	for _, k := range file.Keys {
		keys = append(keys, map[string]any{"key": k.Key, "start": number(k.Start), "end": number(k.End)})
	}
	network["publicKeyRanges"] = keys
}

type ledgerHex []byte

func (h *ledgerHex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// Another recording in the same layout: other keys with overlapping ranges, receipts, a change of parameters,
// another mix; whole, cut at both ends, and with a hole.
func TestOtherRecordings(t *testing.T) {
	const units = 30
	blocks := 12
	if race.Enabled {
		blocks = 4
	}
	g := newTangle(stardusttest.Options{Seed: 77, Name: "another-network-2", KeyCount: 3, Rotation: 12, Blocks: blocks}, units)
	path := func(seq, k int) string {
		return "/api/core/v2/blocks/0x" + g.cones[seq-1].IDs[k].String()
	}
	noEnd := func(n map[string]any) { delete(n, "lastMilestone") }
	for name, c := range map[string]struct {
		drop        func(string) bool
		change      func(map[string]any)
		first, last int
		missing     int
	}{
		"whole":                  {nil, nil, 1, units, 0},
		"no stated end":          {nil, noEnd, 1, units, 0},
		"last cone not whole":    {func(p string) bool { return strings.HasPrefix(p, path(units, 3)) }, noEnd, 1, units - 1, 0},
		"stated end before":      {nil, func(n map[string]any) { n["lastMilestone"] = 20 }, 1, 20, 0},
		"a unit missing":         {func(p string) bool { return strings.HasSuffix(p, "/by-index/17") }, nil, 1, 16, 17},
		"a record missing":       {func(p string) bool { return strings.HasPrefix(p, path(17, 2)) }, noEnd, 1, 16, 17},
		"metadata not recorded":  {func(p string) bool { return strings.HasSuffix(p, "/metadata") }, nil, 1, units, 0},
		"begins behind genesis":  {nil, func(n map[string]any) { n["firstMilestone"] = 11 }, 11, units, 0},
		"only the later half in": {func(p string) bool { return later(g, 15, p) }, func(n map[string]any) { delete(n, "firstMilestone") }, 16, units, 0},
	} {
		for _, held := range []bool{true, false} {
			if race.Enabled && !held && c.first == 1 || held && c.first > 1 || !held && name == "metadata not recorded" {
				continue
			}
			t.Run(fmt.Sprint(name, "/", held), inBubble(func(t *testing.T) {
				dir := record(t, g, c.drop, c.change)
				f := folder(t, dir)
				sum := sha256.Sum256(g.net.Snapshot())
				raw, err := stardust.TrustFromRecording(f.Parameters(), hex.EncodeToString(sum[:]))
				if err != nil {
					t.Fatal(err)
				}
				trust, err := stardust.Codec{}.ParseTrust(raw)
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, trust)
				cfg := r.config(source(t, hornet2.Config{Name: dir, Transport: f.Transport()}))
				if held {
					own, err := f.Snapshot()
					if err != nil || own == "" {
						t.Fatalf("snapshot %q: %v", own, err)
					}
					cfg.Snapshot = []string{own}
				}
				err = r.collector(cfg).CatchUp(context.Background())
				if c.missing == 0 && err != nil || c.missing > 0 && !errors.Is(err, storage.ErrIncomplete) {
					t.Fatal(err)
				}
				r.checkRange(g, c.first, c.last, held)
				if gaps := r.coverage().Gaps; (len(gaps) > 0) != (c.missing > 0) || c.missing > 0 && gaps[0].From != uint64(c.missing) {
					t.Errorf("gaps %+v", gaps)
				}
			}))
		}
	}
}

// inBubble runs a test where pauses cost no time.
func inBubble(f func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// later reports whether a path is about a unit up to seq.
func later(g *tangle, seq int, path string) bool {
	for i, c := range g.cones[:seq] {
		if strings.HasSuffix(path, fmt.Sprint("/by-index/", i+1)) {
			return true
		}
		for _, id := range c.IDs {
			if strings.Contains(path, id.String()) {
				return true
			}
		}
	}
	return false
}

// checkRange compares units first to last with what the generator made.
func (r *rig) checkRange(g *tangle, first, last int, held bool) {
	r.t.Helper()
	cov := r.coverage()
	if len(cov.Spans) != 1 || cov.Spans[0].Lo != uint64(first) || cov.Spans[0].Hi != uint64(last) || cov.Spans[0].Held != held {
		r.t.Fatalf("coverage %+v, want units %d to %d, held %v", cov, first, last, held)
	}
	i := first - 1
	for cone, err := range r.store.Cones(context.Background(), r.store.Net(), uint64(first), uint64(last)) {
		if err != nil {
			r.t.Fatal(err)
		}
		if err := sameCone(cone, g.cones[i]); err != nil {
			r.t.Fatalf("unit %d: %v", cone.Unit.Seq, err)
		}
		i++
	}
	if i != last {
		r.t.Fatalf("units end at %d, want %d", i, last)
	}
}
