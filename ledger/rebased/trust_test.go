package rebased

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/ledger"
)

// proofVectors is where trust files lie beside what they prove.
const proofVectors = "../../testdata/proof-vectors"

func trustFile(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(proofVectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestTrustFile: the committee beside a chain gives its trust file, byte for byte.
func TestTrustFile(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/vectors/rebased/checkpoints/mininet-a/committee_epoch0.json")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ParseCommitteeFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewTrust(spec)
	if err != nil {
		t.Fatal(err)
	}
	if want := trustFile(t, "rebased/trust.json"); !bytes.Equal(got, want) {
		t.Errorf("trust file\n got %s\nwant %s", got, want)
	}
	for _, name := range []string{"rebased/trust.json", "rebased/trust-later-epoch.json", "rebased/trust-powers.json", "rebased-real/trust.json"} {
		trust, err := Codec{}.ParseTrust(trustFile(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := trust.Rules.(*Rules).Committee
		again, err := NewTrust(TrustSpec{trust.Rules.(*Rules).genesis, c.Epoch, c.Members})
		if err != nil || !bytes.Equal(again, trust.Raw) {
			t.Errorf("%s is written again as %s, %v", name, again, err)
		}
	}
}

func TestTrustRefused(t *testing.T) {
	good := string(trustFile(t, "rebased/trust.json"))
	key := good[strings.Index(good, `"key":"`)+7:][:192]
	for _, c := range []struct{ name, was, is, field string }{
		{"era", `"era":"rebased"`, `"era":"stardust"`, "era"},
		{"format", `trust/v1`, `trust/v2`, "format"},
		{"unknown field", `"era"`, `"era":"rebased","eta"`, "eta"},
		{"no identity", `"identity"`, `"identitx"`, "identity"},
		{"identity too short", `83cd"`, `83"`, "identity"},
		{"identity in capitals", `83cd"`, `83CD"`, "identity"},
		{"epoch", `"epoch":"0"`, `"epoch":"00"`, "committee.epoch"},
		{"epoch not there", `"epoch":"0",`, ``, "committee.epoch"},
		{"power", `"power":"2500"`, `"power":"-1"`, "committee.members[0].power"},
		{"member field", `"power":"2500"`, `"power":"2500","stake":"1"`, "committee.members[0].stake"},
		{"key too short", key, key[2:], "committee.members[0].key"},
		{"key off the curve", key, key[:190] + "00", "committee.members"},
		{"key is the identity", key, "c0" + strings.Repeat("00", 95), "committee.members"},
		{"no members", `"members":[`, `"members":[],"x":[`, "committee.x"},
		{"not canonical", `,"era"`, `, "era"`, "canonical"},
	} {
		bad := strings.Replace(good, c.was, c.is, 1)
		if bad == good {
			t.Errorf("%s: nothing to replace", c.name)
		}
		_, err := Codec{}.ParseTrust([]byte(bad))
		if !errors.Is(err, ledger.ErrTrust) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s: %v, want an error that names %s", c.name, err, c.field)
		}
	}
}

func TestCommitteeRules(t *testing.T) {
	trust, err := Codec{}.ParseTrust(trustFile(t, "rebased/trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	members := trust.Rules.(*Rules).Committee.Members
	with := func(change func(m []Validator) []Validator) []Validator {
		return change(append([]Validator(nil), members...))
	}
	power := func(powers ...uint64) []Validator {
		return with(func(m []Validator) []Validator {
			for i, p := range powers {
				m[i].Power = p
			}
			return m
		})
	}
	for _, c := range []struct {
		name    string
		members []Validator
		quorum  uint64 // 0: refused
	}{
		{"as it is", members, 6667},
		{"nobody", nil, 0},
		{"no power", power(0, 0, 0, 0), 0},
		{"one has none", power(0, 1, 1, 1), 1},
		{"overflow", power(1<<63, 1<<63, 0, 0), 0},
		{"all that fits", power(1<<63, 1<<63-1, 0, 0), 12297829382473034409},
		{"a key twice", with(func(m []Validator) []Validator { m[1] = m[0]; return m }), 0},
		{"out of order", with(func(m []Validator) []Validator { m[1], m[0] = m[0], m[1]; return m }), 0},
		{"the identity", with(func(m []Validator) []Validator { m[3].Key = [96]byte{0xc0}; return m }), 0},
	} {
		got, err := NewCommittee(1, c.members)
		switch {
		case c.quorum == 0 && !errors.Is(err, ledger.ErrSyntax):
			t.Errorf("%s: %v, want an error", c.name, err)
		case c.quorum != 0 && (err != nil || got.Quorum != c.quorum):
			t.Errorf("%s: %+v, %v, want a quorum of %d", c.name, got, err, c.quorum)
		}
	}
}

// TestCommitteeCache: a committee is checked once, and the memory of them is bounded.
func TestCommitteeCache(t *testing.T) {
	trust, err := Codec{}.ParseTrust(trustFile(t, "rebased/trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	members := trust.Rules.(*Rules).Committee.Members[:1]
	var cache committees
	first, err := cache.get(0, members)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := cache.get(0, members); err != nil || again != first {
		t.Errorf("asked again: %p, %v, want %p", again, err, first)
	}
	more := append([]Validator(nil), members...)
	more[0].Power++
	if other, err := cache.get(0, more); err != nil || other == first {
		t.Errorf("with other powers: the same committee, %v", err)
	}
	for epoch := range uint64(maxCommittees) {
		if _, err := cache.get(epoch+1, members); err != nil {
			t.Fatal(err)
		}
	}
	if len(cache.known) != maxCommittees || len(cache.order) != maxCommittees {
		t.Errorf("%d committees in %d places, want %d", len(cache.known), len(cache.order), maxCommittees)
	}
}

func FuzzParseTrust(f *testing.F) {
	for _, name := range []string{"rebased/trust.json", "rebased-real/trust.json"} {
		f.Add(trustFile(f, name))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		trust, err := Codec{}.ParseTrust(raw)
		if err != nil {
			if !errors.Is(err, ledger.ErrTrust) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		r := trust.Rules.(*Rules)
		again, err := NewTrust(TrustSpec{r.genesis, r.Committee.Epoch, r.Committee.Members})
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%s is written again as %s, %v", raw, again, err)
		}
	})
}
