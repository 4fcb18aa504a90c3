package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"permanode/ingest"
	"permanode/ingest/iotanode"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
)

// The generated chain of the figures: about what a busy network would fill a checkpoint with, and a committee of the
// size that was measured elsewhere.
const (
	figuresCheckpoints = 16 * 64
	figuresEpoch       = 400
	figuresMembers     = 54
)

// BenchmarkFiguresRebased prints the second table of docs/performance.md: certificates beside the raw pairing check of
// the same signatures, and checkpoints from their bytes in files to durable and visible, with segments attested by one
// certificate and with each certificate checked. It measures once, whatever b.N.
func BenchmarkFiguresRebased(b *testing.B) {
	if figuresRebasedDone {
		return
	}
	figuresRebasedDone = true
	dir, heads, trust := checkpointFiles(b)
	fmt.Printf("\n%d cores, %s; %d checkpoints, %d members\n\n", runtime.GOMAXPROCS(0), runtime.Version(), len(heads), figuresMembers)
	var t sheet
	t.add("work", "floor, CPU each", "ours, CPU each", "ours, a CPU-second", "speed of the floor reached, CPU")
	d := certificates(b, heads, trust)
	cpu, _ := d.ratios()
	n := float64(certificateRounds * certificatesARound)
	t.add("check a certificate; floor: hash to the curve and one pairing check, keys added up before",
		fmt.Sprintf("%.2f ms", 1e3*total(d.floor).cpu.Seconds()/n), fmt.Sprintf("%.2f ms", 1e3*total(d.ours).cpu.Seconds()/n),
		fmt.Sprintf("%.0f", n/total(d.ours).cpu.Seconds()), fmt.Sprintf("%.0f %%", 100*cpu))
	t.write(os.Stdout)
	fmt.Println()
	var w sheet
	w.add("bytes to committed", "CPU a checkpoint", "checkpoints a second", "transactions a second", "raw bytes a transaction", "bytes a transaction on disk")
	for _, way := range []struct {
		name  string
		codec ledger.Codec
	}{
		{"segments of 64 under one certificate", rebased.Codec{}},
		{"each certificate", struct{ ledger.Codec }{rebased.Codec{}}}, // no Attester
	} {
		var stored struct{ transactions, bytes uint64 }
		data := filepath.Join(b.TempDir(), "data")
		c := timed(func() { stored.transactions, stored.bytes = collectCheckpoints(b, dir, data, trust, way.codec) })
		units, tx := float64(len(heads)), float64(stored.transactions)
		w.add(way.name, fmt.Sprintf("%.0f µs", 1e6*c.cpu.Seconds()/units), fmt.Sprintf("%.0f", units/c.wall.Seconds()),
			fmt.Sprintf("%.0f", tx/c.wall.Seconds()), fmt.Sprintf("%.0f", float64(stored.bytes)/tx), fmt.Sprintf("%.0f", float64(diskUse(b, data))/tx))
	}
	w.write(os.Stdout)
	fmt.Println()
}

var figuresRebasedDone bool

// checkpointFiles writes a generated chain into a folder, as a node does.
func checkpointFiles(b *testing.B) (dir string, heads [][]byte, trust ledger.Trust) {
	b.Helper()
	n := rebasedtest.New(rebasedtest.Options{Seed: 1, Validators: figuresMembers, Epoch: figuresEpoch})
	trust, err := rebased.Codec{}.ParseTrust(n.Trust())
	if err != nil {
		b.Fatal(err)
	}
	dir = b.TempDir()
	for seq := range figuresCheckpoints {
		c := n.Next()
		heads = append(heads, c.Head())
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(seq)+".chk"), c.File(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir, heads, trust
}

const certificateRounds, certificatesARound = 5, 60

// certificates checks the same certificates by the floor and by ours, all of the first epoch.
func certificates(b *testing.B, heads [][]byte, trust ledger.Trust) *duel {
	b.Helper()
	committee := trust.Rules.(*rebased.Rules).Committee
	_, _, _, g2 := bls.Generators()
	var minus bls.G2Affine
	minus.Neg(&g2)
	type signed struct {
		c   *rebased.Certified
		msg []byte
		key bls.G2Affine
		sig bls.G1Affine
	}
	d := &duel{}
	for round := range certificateRounds {
		var all []signed
		for _, head := range heads[round*certificatesARound:][:certificatesARound] {
			c, _, _, err := rebased.ParseHead(head)
			if err != nil {
				b.Fatal(err)
			}
			s := signed{c: c, msg: rebased.SigningMessage(c.Header, c.Certificate.Epoch)}
			signers, err := rebased.ParseSigners(c.Certificate.Signers, len(committee.Members))
			if err != nil {
				b.Fatal(err)
			}
			var sum bls.G2Jac
			for _, i := range signers {
				var p bls.G2Affine
				if _, err := p.SetBytes(committee.Members[i].Key[:]); err != nil {
					b.Fatal(err)
				}
				sum.AddMixed(&p)
			}
			s.key.FromJacobian(&sum)
			if _, err := s.sig.SetBytes(c.Certificate.Signature[:]); err != nil {
				b.Fatal(err)
			}
			all = append(all, s)
		}
		d.round(func() {
			for i := range all {
				h, err := bls.HashToG1(all[i].msg, []byte("BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"))
				if err != nil {
					b.Fatal(err)
				}
				if ok, err := bls.PairingCheck([]bls.G1Affine{h, all[i].sig}, []bls.G2Affine{all[i].key, minus}); err != nil || !ok {
					b.Fatalf("the floor does not verify certificate %d: %v", i, err)
				}
			}
		}, func() {
			for i := range all {
				if err := committee.Verify(all[i].c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	return d
}

// collectCheckpoints does what permanode ingest does with a folder of checkpoint files.
func collectCheckpoints(b *testing.B, dir, data string, trust ledger.Trust, codec ledger.Codec) (transactions, bytes uint64) {
	b.Helper()
	p := &program{out: io.Discard, errs: io.Discard}
	source, err := iotanode.OpenDir(iotanode.Config{Address: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	db, err := p.open(data, figuresMemory, false, p.logger(slog.LevelWarn))
	if err != nil {
		b.Fatal(err)
	}
	w, err := openWriter(context.Background(), db, "figures", "", trust)
	if err != nil {
		b.Fatal(err)
	}
	c, err := ingest.New(ingest.Config{Network: "figures", Codec: codec, Trust: trust, Store: w, Sources: []ingest.Source{source}, Memory: figuresMemory})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.CatchUp(context.Background()); err != nil {
		b.Fatal(err)
	}
	s := c.Status()
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return s.Records, s.Bytes
}
