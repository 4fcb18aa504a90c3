package ingest

import (
	"errors"
	"fmt"
	"strings"

	"permanode/ledger"
)

// The errors that tell the caller of a Collector what it can do.
var (
	ErrConfig   = errors.New("configuration") // wrong flag, key or file: nothing was collected
	ErrNoSource = errors.New("no source answers")
)

// An OtherNetworkError reports a source that serves another network than the one asked for.
type OtherNetworkError struct {
	Source    string
	Got, Want string // identities
	Name      string // what the source calls its network, "" if it does not say
}

func (e *OtherNetworkError) Error() string {
	name := e.Got
	if e.Name != "" {
		name = fmt.Sprintf("%s (%q)", e.Got, e.Name)
	}
	return fmt.Sprintf("source %s serves network %s, the trust file is of %s", e.Source, name, e.Want)
}

// Hint is the next step.
func (e *OtherNetworkError) Hint() string {
	return "name a node of this network, or the trust file of the node's network (permanode trust init)"
}

// An EquivocationError reports that the signers signed two units with one number, and built on another
// one than that which is committed here. The network stops until an operator decides.
type EquivocationError struct {
	Network          string
	Seq              uint64
	Committed, Other ledger.ID
	Source           string // who served the other one
}

func (e *EquivocationError) Error() string {
	return fmt.Sprintf("%s: unit %d was signed twice: %s is committed here, but the signers went on from %s (served by %s); collecting stops",
		e.Network, e.Seq, e.Committed, e.Other, e.Source)
}

// Hint is the next step.
func (e *EquivocationError) Hint() string {
	return "compare both units with the network's operator, then: permanode coverage decide --network NAME --seq N --unit ID"
}

// A SnapshotError reports a snapshot file that the trust file does not name.
type SnapshotError struct {
	Path string
	Got  string   // SHA-256 of the file, hex
	Want []string // what the trust file names
}

func (e *SnapshotError) Unwrap() error { return ErrConfig }

func (e *SnapshotError) Error() string {
	want := "none"
	if len(e.Want) > 0 {
		want = strings.Join(e.Want, ", ")
	}
	return fmt.Sprintf("snapshot %s has the SHA-256 %s, the trust file names %s", e.Path, e.Got, want)
}

// Hint is the next step.
func (e *SnapshotError) Hint() string {
	return "get the snapshot that the trust file names, or leave it out to go by the claims of nodes"
}

// problem is why a unit cannot be had now. It is no error of this process: the unit is tried again.
type problem struct {
	seq   uint64
	kind  problemKind
	err   error
	reset bool // nothing that is not yet committed may be kept
}

type problemKind uint8

const (
	problemMissing   problemKind = iota + 1 // every source was asked and none has it
	problemPruned                           // the same, and it will not come back there
	problemForged                           // what sources give is not true
	problemTransport                        // a source could not be asked
	problemUndecided                        // signed twice, and nothing tells yet which one counts
	problemTooLarge
)

func (p *problem) Error() string { return fmt.Sprintf("unit %d: %v", p.seq, p.err) }
func (p *problem) Unwrap() error { return p.err }
